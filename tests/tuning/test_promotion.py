"""The order at a rung against a naive one, and what it must keep for every rung."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tuning.promotion import epsilon_net_order, is_among_best, num_promoted, places

Row = tuple[float, ...]  # violation, then objectives


def dominates(a: Row, b: Row) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def naive_fronts(rows: list[Row]) -> list[list[Row]]:
    """The feasible peeled off front by front, then each level of violation in the same way."""
    found = []
    for level in sorted({row[0] for row in rows}):
        left = [row for row in rows if row[0] == level]
        while left:
            front = [row for row in left if not any(dominates(other[1:], row[1:]) for other in left)]
            found.append(front)
            left = [row for row in left if row not in front]
    return found


def naive_net(front: list[Row], points: dict[Row, Row]) -> list[Row]:
    left = sorted(front)
    chosen = [min(left, key=lambda row: sum(points[row]))]
    while len(chosen) < len(left):
        rest = [row for row in left if row not in chosen]
        chosen.append(max(rest, key=lambda row: min(math.dist(points[row], points[other]) for other in chosen)))
    return chosen


def naive_places(rows: list[Row]) -> list[int]:
    known = sorted({row for row in rows if all(map(math.isfinite, row[1:])) and not math.isnan(row[0])})
    columns = list(zip(*(row[1:] for row in known), strict=True))
    ends = [(min(column), max(column) - min(column)) for column in columns]
    points = {
        row: tuple((x - low) / width if width else 0.0 for x, (low, width) in zip(row[1:], ends, strict=True))
        for row in known
    }
    order = [row for front in naive_fronts(known) for row in naive_net(front, points)]
    counts = [sum(row == other for other in rows) for row in order]
    return [sum(counts[: order.index(row)]) if row in order else len(rows) - 1 for row in rows]


def rung(seed: int, most: int = 30) -> NDArray[np.float64]:
    """Few levels, so that there are ties, duplicates and equal distances; some values that are not finite."""
    rng = np.random.default_rng(seed)
    num_rows, num_objectives = int(rng.integers(1, most)), int(rng.integers(1, 4))
    values = rng.integers(0, 5, (num_rows, num_objectives)) / 4.0  # quarters: sums and squares are exact
    values[rng.random(values.shape) < 0.03] = np.nan
    values[rng.random(values.shape) < 0.02] = np.inf
    violation = rng.choice([0.0, 0.0, 0.0, 0.1, 0.5, np.inf, np.nan], num_rows, p=[0.2, 0.2, 0.2, 0.15, 0.1, 0.1, 0.05])
    return np.column_stack([violation, values])


def places_of(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    return places(rows[:, 1:], rows[:, 0])


@pytest.mark.parametrize("seed", range(150))
def test_equals_the_naive_order(seed: int) -> None:
    rows = rung(seed)
    found, naive = places_of(rows), naive_places([tuple(map(float, row)) for row in rows])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, naive)
    for factor in (2, 3, 4):
        top = num_promoted(len(rows), factor)
        assert set(np.flatnonzero(found < top)) == {i for i, place in enumerate(naive) if place < top}


@pytest.mark.parametrize("seed", range(60))
def test_one_report_is_placed_as_among_all(seed: int) -> None:
    rows = rung(seed)
    found = places_of(rows)
    for position in range(len(rows)):
        for count in range(1, len(rows) + 1):
            assert is_among_best(rows[:, 1:], rows[:, 0], position, count) == (found[position] < count)


@pytest.mark.parametrize("seed", range(60))
def test_the_order_of_arrival_changes_nothing(seed: int) -> None:
    rows = np.random.default_rng(seed).random((20, 3)) if seed % 2 else rung(seed)
    rows[:, 0] = np.where(rows[:, 0] < 0.5, 0.0, rows[:, 0])
    found = places_of(rows)
    for order in (np.random.default_rng(seed).permutation(len(rows)), np.arange(len(rows))[::-1]):
        np.testing.assert_array_equal(places_of(rows[order]), found[order])


def test_places_are_no_sorted_indices() -> None:
    """Indices that sort the reports are not how good they are: the third report here is the best one."""
    values = np.array([[2.0, 2.0], [3.0, 3.0], [1.0, 1.0], [4.0, 4.0]])
    np.testing.assert_array_equal(places(values, np.zeros(4)), [1, 2, 0, 3])
    assert np.argsort(values.sum(axis=1), kind="stable").tolist() == [2, 0, 1, 3]


finite = st.floats(-1e300, 1e300, allow_nan=False)
rungs = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.2, 1.5, math.inf]), finite, finite), min_size=1, max_size=25)


@settings(deadline=None)
@given(rungs, st.integers(2, 5), st.booleans())
def test_a_newcomer_that_dominates_its_rung_goes_on(reports: list[Row], factor: int, all_infeasible: bool) -> None:
    rows = [(max(row[0], 0.1), *row[1:]) if all_infeasible else row for row in reports]
    better = (min(row[0] for row in rows), *(min(row[i] for row in rows) - 1e299 for i in (1, 2)))
    found = places_of(np.array([*rows, better]))
    assert found[-1] == 0 < num_promoted(len(found), factor)
    assert (found[:-1] > 0).all()


@settings(deadline=None)
@given(rungs, st.integers(2, 5))
def test_an_infeasible_newcomer_that_its_rung_dominates_is_stopped(reports: list[Row], factor: int) -> None:
    worse = (max(row[0] for row in reports) + 0.1, *(max(row[i] for row in reports) + 1e299 for i in (1, 2)))
    found = places_of(np.array([*reports, worse]))
    assert found[-1] == len(reports)
    assert found[-1] >= num_promoted(len(found), factor)


@settings(deadline=None)
@given(rungs, st.integers(2, 5))
def test_no_infeasible_report_takes_the_place_of_a_feasible_one(reports: list[Row], factor: int) -> None:
    rows = np.array(reports)
    goes_on = places_of(rows) < num_promoted(len(rows), factor)
    infeasible = rows[:, 0] > 0
    if (goes_on & infeasible).any():
        assert goes_on[~infeasible].all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.just(0.0), finite, finite), min_size=1, max_size=25), st.integers(2, 5))
def test_one_in_the_reduction_factor_of_different_reports_goes_on(reports: list[Row], factor: int) -> None:
    rows = np.array(sorted(set(reports)))
    assert sorted(places_of(rows)) == list(range(len(rows)))
    assert num_promoted(len(rows), factor) == max(1, len(rows) // factor)


def test_a_front_is_covered_from_its_compromise_outwards() -> None:
    points = np.array([[0.0, 1.0], [0.1, 0.85], [0.45, 0.45], [0.5, 0.44], [1.0, 0.0]])
    assert epsilon_net_order(points).tolist() == [2, 0, 4, 1, 3]
    np.testing.assert_array_equal(places(points * [1.0, 1e6], np.zeros(5)), [1, 3, 0, 4, 2])


def test_equal_reports_share_a_place_and_what_was_not_measured_the_last() -> None:
    values = [[1.0, 1.0], [0.0, 0.0], [np.nan, 0.0], [0.0, 0.0], [0.0, np.inf], [5.0, 5.0]]
    violation = [0.0, 0.0, 0.0, 0.0, 0.0, np.inf]
    np.testing.assert_array_equal(places(values, violation), [2, 0, 5, 0, 5, 3])
    np.testing.assert_array_equal(places([[np.nan], [np.nan]], [0.0, 0.0]), [1, 1])
    np.testing.assert_array_equal(places([[np.nan]], [0.0]), [0])
    assert places([], []).shape == (0,)


def test_huge_values_do_not_overflow() -> None:
    with np.errstate(all="raise"):
        found = places([[-1.7e308, 1.7e308], [0.0, 0.0], [1.7e308, -1.7e308]], [0.0, 0.0, 0.0])
    assert sorted(found) == [0, 1, 2]


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [1.0, 2.0]])
def test_wrong_shapes(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"dimension|axis"):
        places(values, [0.0, 0.0])


def test_a_rung_of_a_thousand_reports_is_ordered_at_once() -> None:
    along = np.sort(np.random.default_rng(0).random(1000))
    spent = []
    for _ in range(5):
        began = time.process_time()
        places(np.column_stack([along, 1 - along]), np.zeros(1000))
        spent.append(time.process_time() - began)
    assert min(spent) < 0.05


def test_a_newcomer_at_a_rung_of_ten_thousand_is_judged_at_once() -> None:
    rng = np.random.default_rng(0)
    values, violation = rng.random((10_000, 2)), np.maximum(0.0, rng.normal(size=10_000))
    spent = []
    for position in range(5):
        began = time.process_time()
        is_among_best(values, violation, position, 3333)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.05
