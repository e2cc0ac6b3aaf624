from __future__ import annotations

import math

import pytest
import torch

from metrics.regeneration_rate import RegenerationRate, pixel_distances, regenerated, wilson_interval
from metrics.testing import tiny_evidence


@pytest.mark.parametrize(
    ("successes", "num_trials", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_the_published_one(successes: int, num_trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, num_trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_is_symmetric_and_tightens() -> None:
    low, high = wilson_interval(3, 40)

    assert wilson_interval(37, 40) == pytest.approx((1 - high, 1 - low))
    assert wilson_interval(5, 5)[1] == 1.0
    assert wilson_interval(0, 1000)[1] < wilson_interval(0, 100)[1]
    assert wilson_interval(3, 40, 0.99)[1] > high


@pytest.mark.parametrize(
    ("successes", "num_trials", "confidence"), [(-1, 4, 0.95), (5, 4, 0.95), (0, 0, 0.95), (1, 2, 1.0)]
)
def test_wilson_interval_refuses_what_is_no_proportion(successes: int, num_trials: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=f"successes={successes}, num_trials={num_trials}"):
        wilson_interval(successes, num_trials, confidence)


def test_distance_is_plain_l2_on_the_unit_scale_at_28_pixels() -> None:
    forget = torch.full((2, 1, 28, 28), -1.0)
    forget[1] = 1.0
    samples = torch.full((3, 1, 28, 28), -1.0)
    samples[1, 0, :10, :10] = 1.0

    distances = pixel_distances(samples, forget)

    torch.testing.assert_close(distances[1], torch.tensor([10.0, math.sqrt(684)]))
    assert regenerated(samples[1:2] * 0.999, forget).tolist() == [True]
    assert regenerated(samples, forget).tolist() == [True, False, True]  # within the radius, not on it


def test_distance_means_one_difference_per_pixel_at_every_size() -> None:
    small = pixel_distances(torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28))
    large = pixel_distances(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))

    torch.testing.assert_close(large, small)


def test_a_zero_carries_its_sample_size() -> None:
    evidence = tiny_evidence()
    evidence.__dict__["samples"] = -evidence.subject.forget.sign().expand(128, 1, 8, 8)

    measured = RegenerationRate().compute(evidence)

    assert measured.value == 0.0
    assert measured.num_samples == 128
    assert measured.interval == pytest.approx((0.0, 0.02914), abs=1e-4)
    assert 0.003 < measured.stderr < 0.005


def test_one_nan_pixel_is_not_a_forgotten_image() -> None:
    evidence = tiny_evidence()
    samples = torch.zeros(4, 1, 8, 8)
    samples[2, 0, 0, 0] = math.nan
    evidence.__dict__["samples"] = samples

    measured = RegenerationRate().compute(evidence)

    assert math.isnan(measured.value)
    assert measured.interval is not None
    assert all(map(math.isnan, measured.interval))
    assert not regenerated(samples, samples[2:3]).any()


def test_wilson_interval_of_no_success_in_128_reaches_three_percent() -> None:
    low, high = wilson_interval(0, 128)
    assert low == 0.0
    assert high == pytest.approx(0.0291, abs=1e-4)
