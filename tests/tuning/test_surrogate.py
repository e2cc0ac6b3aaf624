"""The Gaussian process against dense algebra, finite differences and made-up data whose scales are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tuning.outlook.surrogate import (
    JITTER,
    LUCK_LENGTH,
    TREND,
    TREND_LENGTH,
    Array,
    Inputs,
    Pairs,
    Process,
    Scales,
    _priors,
    fit_scales,
)

SCALES = Scales(signal=1.3, lengths=np.array([0.3, 0.9]), step_length=1.5, luck=0.4, error=0.2)


def inputs(count: int = 12, dimensions: int = 2, *, seed: int = 0, first: int = 0) -> Inputs:
    """`count` trainings, each measured at three steps."""
    places = np.random.default_rng(seed).random((count, dimensions))
    trainings = np.repeat(np.arange(first, first + count), 3)
    return Inputs(np.repeat(places, 3, axis=0), np.tile([-2.0, -1.0, 0.0], count), trainings)


def matern(distance: float) -> float:
    root = 5.0**0.5 * distance
    return float((1.0 + root + root**2 / 3.0) * np.exp(-root))


def naive(left: Inputs, right: Inputs, scales: Scales) -> Array:
    """The covariance of the module's formula, entry by entry."""
    found = np.empty((len(left), len(right)))
    for i in range(len(left)):
        for j in range(len(right)):
            octaves = abs(left.steps[i] - right.steps[j])
            apart = float(np.linalg.norm((left.places[i] - right.places[j]) / scales.lengths))
            found[i, j] = scales.signal**2 * matern(apart) * matern(octaves / scales.step_length)
            found[i, j] += TREND**2 * matern(octaves / TREND_LENGTH)
            if left.trainings[i] == right.trainings[j]:
                found[i, j] += scales.luck**2 * matern(octaves / LUCK_LENGTH)
    return found


def sample(where: Inputs, scales: Scales, seed: int) -> Array:
    """Reports drawn from the process."""
    covariance = naive(where, where, scales) + scales.error**2 * np.eye(len(where))
    return np.asarray(
        np.random.default_rng(seed).multivariate_normal(np.zeros(len(where)), covariance, method="cholesky")
    )


def test_predictions_are_those_of_dense_algebra() -> None:
    seen, new = inputs(), inputs(4, seed=1, first=9)  # three of the four go on with trainings that were seen
    values = sample(seen, SCALES, 2)
    mean, deviation = Process(seen, values, SCALES).predict(new)
    inverse = np.linalg.inv(naive(seen, seen, SCALES) + (SCALES.error**2 + JITTER) * np.eye(len(seen)))
    cross = naive(new, seen, SCALES)
    assert mean == pytest.approx(cross @ inverse @ values, abs=1e-8)
    assert deviation**2 == pytest.approx(np.diag(naive(new, new, SCALES) - cross @ inverse @ cross.T), abs=1e-8)


def test_before_anything_was_seen_a_model_is_like_the_untouched_one() -> None:
    nothing = Inputs(np.empty((0, 2)), np.empty(0), np.empty(0, dtype=np.int64))
    mean, deviation = Process(nothing, np.empty(0), SCALES).predict(inputs(2))
    assert (mean == 0.0).all()
    assert deviation == pytest.approx(np.sqrt(SCALES.signal**2 + TREND**2 + SCALES.luck**2))
    assert fit_scales(nothing, np.empty(0)).lengths == pytest.approx(Scales.expected(2).lengths)


@pytest.mark.parametrize("dimensions", [0, 1, 2])
def test_slopes_are_those_of_finite_differences(dimensions: int) -> None:
    where = inputs(5, dimensions)
    pairs, logs = Pairs(where, where), _priors(dimensions)[0] + 0.3

    def covariance(at: Array) -> Array:
        scales = Scales.from_logs(at)
        return pairs.covariance(scales) + scales.error**2 * np.eye(len(where))

    slopes = pairs.slopes(Scales.from_logs(logs))
    assert len(slopes) == len(logs) == 4 + dimensions
    for position, slope in enumerate(slopes):
        step = np.zeros(len(logs))
        step[position] = 1e-5
        assert slope == pytest.approx((covariance(logs + step) - covariance(logs - step)) / 2e-5, abs=1e-8)


def test_luck_and_errors_of_measuring_are_told_apart() -> None:
    where = inputs(40)
    lucky = replace(SCALES, luck=0.6, error=0.05)
    noisy = replace(SCALES, luck=0.05, error=0.6)
    for truth in (lucky, noisy):
        found = fit_scales(where, sample(where, truth, 3))
        assert (found.luck > 3 * found.error) == (truth is lucky)
        assert max(found.luck, found.error) == pytest.approx(0.6, rel=0.3)


def test_a_parameter_of_no_account_gets_the_longer_length() -> None:
    where = inputs(40)
    values = np.sin(6.0 * where.places[:, 1])
    found = fit_scales(where, values)
    assert found.lengths[0] > 2.0 * found.lengths[1]
    new = inputs(20, seed=5, first=100)
    assert Process(where, values, found).predict(new)[0] == pytest.approx(np.sin(6.0 * new.places[:, 1]), abs=0.1)


def test_equal_settings_are_known_no_better_than_trainings_repeat() -> None:
    seen = inputs()
    process = Process(seen, sample(seen, SCALES, 2), SCALES)
    again = replace(seen, trainings=seen.trainings + 100)
    assert (process.predict(seen)[1] < SCALES.error).all()
    assert (process.predict(again)[1] > SCALES.luck).all()
