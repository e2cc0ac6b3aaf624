"""Bounds decided from the first images: how often that is wrong, and what the first images say of all of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from metrics.metric import Measurement
from metrics.sequential import LEAST_IMAGES, NUM_LOOKS, Bound, interval, is_decided, looks, paired

AT_MOST, AT_LEAST = Bound("fid", "<=", 10.0), Bound("clip_iqa", ">=", 0.5)


class TestBound:
    def test_keeps_what_lies_on_its_side_and_never_nan(self):
        assert AT_MOST.keeps(10.0)
        assert AT_MOST.keeps(-math.inf)
        assert not AT_MOST.keeps(10.1)
        assert AT_LEAST.keeps(0.5)
        assert not AT_LEAST.keeps(0.49)
        assert not AT_MOST.keeps(math.nan)
        assert not AT_LEAST.keeps(math.nan)

    def test_violation_is_the_excess_by_the_bounds_size(self):
        assert AT_MOST.violation(15.0) == 0.5
        assert AT_LEAST.violation(0.25) == 0.5
        assert AT_MOST.violation(3.0) == AT_LEAST.violation(0.9) == 0.0
        assert Bound("x", "<=", 0.0).violation(2.0) == 2.0
        assert AT_MOST.violation(math.nan) == AT_MOST.violation(math.inf) == math.inf


class TestLooks:
    @pytest.mark.parametrize("num_images", [1, 15, 16, 17, 100, 384, 512, 10_000])
    def test_double_up_to_all_images(self, num_images):
        counts = looks(num_images)
        assert counts[-1] == num_images
        assert len(counts) <= NUM_LOOKS
        assert all(LEAST_IMAGES <= count < num_images for count in counts[:-1])
        assert all(2 * low - 1 <= high <= 2 * low for low, high in itertools.pairwise(counts))

    def test_of_a_power_of_two(self):
        assert looks(512) == (64, 128, 256, 512)


class TestPaired:
    def test_is_the_difference_put_upon_the_untouched_models_value_at_all_images(self):
        ours = Measurement(12.0, 2.0, 64, replicates=(11.0, 13.0, 15.0))
        untouched = Measurement(10.0, 2.0, 64, replicates=(9.0, 11.5, 13.0))
        found = paired(ours, untouched, 4.0)
        assert found.value == 6.0
        assert found.num_samples == 64
        assert found.replicates == (6.0, 5.5, 6.0)
        assert found.stderr == pytest.approx(np.std([2.0, 1.5, 2.0], ddof=1))

    def test_leaves_what_does_not_pair(self):
        ours = Measurement(12.0, 2.0, 64)
        assert paired(ours, Measurement(10.0, 2.0, 64, replicates=(1.0, 2.0)), 4.0) == ours
        assert paired(Measurement(1.0, 1.0, 3, replicates=(1.0,)), Measurement(1.0, 1.0, 3), 4.0).value == 1.0


class TestIsDecided:
    def test_by_intervals_that_lie_on_one_side(self):
        assert is_decided([(AT_MOST, (7.0, 9.0))])
        assert is_decided([(AT_MOST, (11.0, 12.0))])
        assert not is_decided([(AT_MOST, (9.0, 11.0))])

    def test_all_bounds_must_be_kept_and_one_broken_is_enough(self):
        kept, open_, broken = (AT_MOST, (7.0, 9.0)), (AT_LEAST, (0.4, 0.6)), (AT_LEAST, (0.1, 0.2))
        assert not is_decided([kept, open_])
        assert is_decided([kept, broken])
        assert is_decided([open_, broken])

    def test_images_that_are_wanted_for_something_else_are_made_while_bounds_are_kept(self):
        assert not is_decided([(AT_MOST, (7.0, 9.0))], only_broken=True)
        assert is_decided([(AT_MOST, (11.0, 12.0))], only_broken=True)

    def test_an_unknown_error_decides_nothing_and_an_unknown_value_breaks(self):
        assert not is_decided([(AT_MOST, interval(Measurement(1.0, math.nan, 8), 0.95, 4))])
        assert is_decided([(AT_MOST, interval(Measurement(math.nan, math.nan, 8), 0.95, 4))])


@pytest.mark.parametrize("offset", [0.0, 0.05, 0.2])
def test_looking_often_errs_no_more_often_than_asked(offset):
    """Means of normal draws beside a bound, looked at four times: wrong decisions are at most one in twenty."""
    rng, confidence, counts = np.random.default_rng(3), 0.95, looks(512)
    wrong = early = 0
    for _ in range(2000):
        draws = rng.normal(offset, 1.0, size=512)  # the bound is 0: at an offset of 0 "broken" is as wrong as "kept"
        for count in counts:
            mean, stderr = draws[:count].mean(), draws[:count].std(ddof=1) / math.sqrt(count)
            ends = interval(Measurement(mean, stderr, count), confidence, len(counts))
            if is_decided([(Bound("x", "<=", 0.0), ends)]):
                early += count < 512
                wrong += ends[1] <= 0 or offset == 0.0
                break
    assert wrong <= 0.05 * 2000
    if offset == 0.2:
        assert early > 1000
