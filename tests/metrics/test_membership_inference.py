"""The rank test of the certificate: exact p-values, and what it says where there is too little to say anything."""

from __future__ import annotations

import math
import random

import pytest

from metrics.membership_inference import calibrated, images_needed, resolution, standing


def test_an_image_below_all_is_known_and_one_above_all_estranged() -> None:
    unseen = [1.0, 2.0, 3.0, 4.0]
    low, high, middle = standing(0.0, unseen), standing(9.0, unseen), standing(2.5, unseen)
    assert (low.known, low.estranged, low.percentile) == (1 / 5, 1.0, 0.0)
    assert (high.known, high.estranged, high.percentile) == (1.0, 1 / 5, 1.0)
    assert (middle.known, middle.estranged, middle.percentile) == (3 / 5, 3 / 5, 0.5)
    assert low.distance == pytest.approx((0 - 2.5) / math.sqrt(5 / 3))


def test_ties_speak_against_a_finding() -> None:
    tied = standing(1.0, [1.0, 1.0, 1.0])
    assert (tied.known, tied.estranged, tied.percentile) == (1.0, 1.0, 0.5)
    assert math.isnan(tied.distance)


def test_an_image_like_the_others_is_found_at_the_level_and_no_more_often() -> None:
    """Exact for every distribution: of 20 images drawn alike each is the lowest one time in 20."""
    rng, found = random.Random(0), 0
    for _ in range(1500):
        value, *unseen = (rng.expovariate(1) ** 3 for _ in range(20))
        found += standing(value, unseen).known <= 0.05
    assert abs(found / 1500 - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.parametrize(("value", "unseen"), [(1.0, []), (math.nan, [1.0]), (1.0, [1.0, math.nan]), (math.inf, [1.0])])
def test_nothing_to_compare_with_and_what_is_not_finite_is_not_known(value: float, unseen: list[float]) -> None:
    found = standing(value, unseen)
    assert all(map(math.isnan, (found.known, found.estranged, found.percentile, found.distance)))
    assert found.num_unseen == len(unseen)


def test_one_unseen_image_has_a_rank_but_no_spread() -> None:
    found = standing(0.0, [1.0])
    assert (found.known, found.estranged) == (0.5, 1.0)
    assert math.isnan(found.distance)


def test_how_many_images_a_level_needs() -> None:
    for level in (1.0, 0.5, 0.05, 0.025, 0.05 / 6, 0.001):
        count = images_needed(level)
        assert resolution(count) <= level + 1e-12
        assert count == 0 or resolution(count - 1) > level
    with pytest.raises(ValueError, match="0 < level <= 1"):
        images_needed(0.0)


def test_differences_take_off_what_is_hard_for_every_model() -> None:
    reference = [5.0, 1.0, 9.0, 3.0]
    unlearned = [5.0, 1.1, 9.1, 3.1]
    plain, paired = standing(unlearned[0], unlearned[1:]), calibrated(unlearned, reference)
    assert plain.known > resolution(3)
    assert standing(paired[0], paired[1:]).known == resolution(3)
    with pytest.raises(ValueError, match="a statistic of each image"):
        calibrated([1.0], [])
