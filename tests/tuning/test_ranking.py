"""The ranking against a naive one, on random points with duplicates, NaN and infinities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tuning.ranking import constrained_ranks


def dominates(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool((a <= b).all() and (a < b).any())


def naive_ranks(values: NDArray[np.float64], violation: NDArray[np.float64]) -> NDArray[np.int64]:
    """Peels off one front at a time, then one level of violation at a time, then what is left."""
    ranks = np.full(len(values), -1)
    unknown = {i for i in range(len(values)) if np.isnan(values[i]).any() or math.isnan(violation[i])}
    left = {i for i in range(len(values)) if violation[i] == 0} - unknown
    rank = 0
    while left:
        front = {i for i in left if not any(dominates(values[j], values[i]) for j in left)}
        for i in front:
            ranks[i] = rank
        left, rank = left - front, rank + 1
    for level in sorted({violation[i] for i in range(len(values)) if violation[i] > 0 and i not in unknown}):
        ranks[[i for i in range(len(values)) if violation[i] == level and i not in unknown]] = rank
        rank += 1
    ranks[list(unknown)] = rank
    return ranks


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_naive_ranking(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_rows, num_objectives = int(rng.integers(1, 40)), int(rng.integers(1, 5))
    values = rng.integers(0, 6, (num_rows, num_objectives)).astype(float)  # few levels: many ties and duplicates
    values[rng.random(values.shape) < 0.04] = np.nan
    values[rng.random(values.shape) < 0.04] = np.inf
    values[rng.random(values.shape) < 0.04] = -np.inf
    violation = rng.choice([0.0, 0.0, 0.0, 0.1, 0.5, np.inf, np.nan], num_rows)
    ranks = constrained_ranks(values, violation)
    assert ranks.dtype == np.int64
    np.testing.assert_array_equal(ranks, naive_ranks(values, violation))
    order = rng.permutation(num_rows)
    np.testing.assert_array_equal(constrained_ranks(values[order], violation[order]), ranks[order])


def test_the_order_of_the_classes() -> None:
    values = [[9, 9], [0, 0], [0, 0], [np.nan, 0], [5, 5], [5, 5]]
    violation = [0, 0.2, np.inf, 0, 0, 0]
    np.testing.assert_array_equal(constrained_ranks(values, violation), [1, 2, 3, 4, 0, 0])


def test_empty_input() -> None:
    assert constrained_ranks(np.empty((0, 2)), np.empty(0)).shape == (0,)
    assert constrained_ranks([], []).shape == (0,)


def test_all_rows_unknown_share_the_first_rank() -> None:
    np.testing.assert_array_equal(constrained_ranks([[np.nan, 1], [1, np.nan]], [0, 0]), [0, 0])


def test_inputs_are_left_alone() -> None:
    values, violation = np.array([[1.0, np.inf], [2.0, 0.0]]), np.array([0.0, 1.0])
    constrained_ranks(values, violation)
    np.testing.assert_array_equal(values, [[1.0, np.inf], [2.0, 0.0]])


@pytest.mark.parametrize(
    ("values", "violation", "message"),
    [
        ([[1, 2]], [0, 0], "shapes"),
        ([1, 2], [0, 0], "shapes"),
        ([[1, 2]], [-0.1], "a violation must be >= 0"),
    ],
)
def test_wrong_input(values: list[list[float]], violation: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        constrained_ranks(values, violation)
