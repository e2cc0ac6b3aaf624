"""The formulas of nll, sscd, membership_loss and of their neighbours."""

from __future__ import annotations

import math

import pytest
import torch

from diffusion.rng import stream
from metrics.membership_loss import error_ratio, jackknife_stderr
from metrics.neighbours import nearest_neighbours
from metrics.nll import mean_bits_per_dim
from metrics.sscd import mean_similarity


def test_nll_averages_images_and_adds_their_probe_errors_in_squares() -> None:
    measured = mean_bits_per_dim(torch.tensor([3.0, 5.0]), torch.tensor([0.3, 0.4]), num_probes=4)

    assert measured.value == pytest.approx(4.0)
    assert measured.stderr == pytest.approx(0.25, rel=1e-6)
    assert measured.num_samples == 8


def test_nll_of_one_unlikely_beyond_measure_is_nan() -> None:
    measured = mean_bits_per_dim(torch.tensor([3.0, math.nan]), torch.tensor([0.3, 0.4]), num_probes=4)

    assert math.isnan(measured.value)
    assert math.isnan(measured.stderr)


def test_sscd_is_the_mean_cosine_with_the_error_within_images() -> None:
    clean = torch.eye(2)
    denoised = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [0.0, -1.0]]])

    measured = mean_similarity(denoised, clean)

    assert measured.value == pytest.approx((1 + 0 - 1 - 1) / 4)
    assert measured.stderr == pytest.approx(math.sqrt(0.5 / 2) / 2)  # the images differ, which is no error
    assert measured.num_samples == 4


def test_sscd_of_exact_copies_is_one_and_not_more() -> None:
    clean = torch.nn.functional.normalize(torch.randn(3, 64, generator=stream(0, "clean")), dim=1)

    measured = mean_similarity(clean[:, None].expand(3, 5, 64), clean)

    assert 1 - 1e-12 < measured.value <= 1
    assert measured.stderr == pytest.approx(0, abs=1e-12)


def test_membership_loss_gives_every_timestep_the_same_say() -> None:
    forget = torch.tensor([[[0.8, 1.2], [0.03, 0.01]]])  # (1, 2, 2)
    retain = torch.tensor([[0.4, 0.6], [0.04, 0.04]])

    assert float(error_ratio(forget, retain)) == pytest.approx((2.0 + 0.5) / 2)


def test_membership_error_is_that_of_a_mean_when_retain_does_not_vary() -> None:
    forget = torch.rand(1, 1, 6, generator=stream(0, "errors"), dtype=torch.float64)

    assert jackknife_stderr(forget, torch.ones(1, 6)) == pytest.approx(float(forget.std()) / math.sqrt(6))


def test_membership_error_is_none_under_noise_that_both_share() -> None:
    errors = torch.rand(1, 3, 5, generator=stream(0, "errors"))

    assert jackknife_stderr(2 * errors, errors[0]) == pytest.approx(0, abs=1e-7)
    assert math.isnan(jackknife_stderr(errors[..., :1], errors[0, :, :1]))


def test_neighbours_are_those_nearest_to_any_forget_image_nearest_first() -> None:
    angles = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0])
    retain = torch.stack([angles.cos(), angles.sin()], dim=1)
    forget = torch.tensor([[math.cos(0.9), math.sin(0.9)], [5 * math.cos(3.05), 5 * math.sin(3.05)]])

    assert nearest_neighbours(forget, retain, k=3).tolist() == [4, 2, 1]
    assert nearest_neighbours(forget[:1], retain, k=1).tolist() == [2]


def test_neighbours_that_tie_come_in_order() -> None:
    retain = torch.ones(4, 2)

    assert nearest_neighbours(retain[:1], retain, k=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("k", [0, 5])
def test_neighbours_refuse_more_than_there_are(k: int) -> None:
    with pytest.raises(ValueError, match=f"k={k}, 4 retain images"):
        nearest_neighbours(torch.ones(1, 2), torch.ones(4, 2), k=k)


def test_neighbours_refuse_descriptors_that_are_not_finite() -> None:
    retain = torch.ones(4, 2)
    retain[2, 0] = math.nan

    with pytest.raises(ValueError, match="must be finite"):
        nearest_neighbours(torch.ones(1, 2), retain, k=1)
