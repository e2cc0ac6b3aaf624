"""The front against a naive one; hypervolume against areas known by hand; the choices by their rules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.front import hypervolume, over_forgotten, pareto_front, recommend
from tuning.constraints import violation
from tuning.goals import Constraint, Objective

OBJECTIVES = (Objective("sscd", "minimize"), Objective("nll", "maximize"))
FID = Constraint("fid", "<=", 1.2, relative=True)
UNTOUCHED = {"sscd": 0.8, "nll": 3.0, "fid": 10.0}
IDEAL = {"sscd": 0.2, "nll": 5.0}


def table(*rows: Sequence[float], columns: str = "sscd nll fid") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def naive_front(reports: pd.DataFrame) -> list[tuple[float, float]]:
    points = [
        (row["sscd"], row["nll"])
        for row in reports.to_dict("records")
        if violation(row, [FID], UNTOUCHED) == 0 and math.isfinite(row["sscd"]) and math.isfinite(row["nll"])
    ]
    kept = {p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)}
    return sorted(kept)


class TestParetoFront:
    @pytest.mark.parametrize("seed", range(40))
    def test_equals_the_naive_front(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        values = np.column_stack([rng.integers(0, 8, 30) / 10, rng.integers(0, 8, 30), rng.uniform(5, 16, 30)])
        values[rng.random(values.shape) < 0.05] = np.nan
        values[rng.random(values.shape) < 0.03] = np.inf
        reports = table(*values)
        front = pareto_front(reports, OBJECTIVES, [FID], UNTOUCHED)
        assert list(zip(front["sscd"], front["nll"], strict=True)) == naive_front(reports)
        pd.testing.assert_frame_equal(front, reports.loc[front.index])

    def test_duplicates_are_kept_once_and_rows_are_sorted_best_first(self) -> None:
        reports = table((0.5, 4, 9), (0.2, 3.5, 9), (0.5, 4, 8), (0.6, 3.9, 9), (0.1, 9, 99))
        front = pareto_front(reports, OBJECTIVES, [FID], UNTOUCHED)
        assert list(front.index) == [1, 0]
        upside_down = pareto_front(reports, OBJECTIVES[::-1], [FID], UNTOUCHED)
        assert list(upside_down.index) == [0, 1]

    def test_nothing_feasible_and_nothing_at_all(self) -> None:
        reports = table((0.1, 9, 99), (0.1, 9, math.nan))
        front = pareto_front(reports, OBJECTIVES, [FID], UNTOUCHED)
        assert front.empty
        assert list(front.columns) == ["sscd", "nll", "fid"]
        assert pareto_front(pd.DataFrame(), OBJECTIVES, [FID], UNTOUCHED).empty

    def test_one_objective_and_no_constraint(self) -> None:
        reports = table((0.5, 4, 9), (0.2, 3.5, 9))
        assert list(pareto_front(reports, OBJECTIVES[:1], [], {}).index) == [1]

    def test_a_missing_objective_is_an_error_and_a_missing_constraint_infeasible(self) -> None:
        with pytest.raises(KeyError, match="lacks nll"):
            pareto_front(table((0.1, 9.0), columns="sscd fid"), OBJECTIVES, [], {})
        assert pareto_front(table((0.1, 9.0), columns="sscd nll"), OBJECTIVES, [FID], UNTOUCHED).empty

    def test_the_input_is_left_alone(self) -> None:
        reports = table((0.5, 4, 9), (0.2, 3.5, 9))
        copy = reports.copy()
        front = pareto_front(reports, OBJECTIVES, [FID], UNTOUCHED)
        front.loc[:, "sscd"] = 0.0
        pd.testing.assert_frame_equal(reports, copy)


class TestHypervolume:
    def volume(self, *points: Sequence[float]) -> float:
        return hypervolume(table(*points, columns="sscd nll"), OBJECTIVES, UNTOUCHED, IDEAL)

    def test_untouched_is_0_and_ideal_is_1(self) -> None:
        assert self.volume((0.8, 3.0)) == 0.0
        assert self.volume((0.2, 5.0)) == pytest.approx(1.0)
        assert self.volume() == 0.0

    def test_areas_known_by_hand(self) -> None:
        assert self.volume((0.5, 4.0)) == pytest.approx(0.25)
        assert self.volume((0.5, 4.0), (0.5, 4.0)) == pytest.approx(0.25)
        assert self.volume((0.5, 3.5), (0.65, 4.0)) == pytest.approx(0.5 * 0.25 + 0.25 * 0.25)

    def test_beyond_the_ideal_is_clipped(self) -> None:
        assert self.volume((-0.5, 99.0)) == pytest.approx(1.0)
        assert self.volume((0.5, 15.0)) == pytest.approx(0.5)

    def test_what_is_not_better_in_every_objective_adds_nothing(self) -> None:
        for point in [(0.1, 3.0), (0.1, 2.0), (0.8, 9.0), (0.9, 9.0), (math.nan, 9.0), (0.1, math.nan)]:
            assert self.volume(point) == 0.0
            assert self.volume(point, (0.5, 4.0)) == pytest.approx(0.25)

    @given(
        st.lists(st.tuples(st.floats(0, 1), st.floats(2, 6)), max_size=8), st.tuples(st.floats(0, 1), st.floats(2, 6))
    )
    def test_in_0_to_1_and_never_less_by_another_point(
        self, points: list[tuple[float, float]], more: tuple[float, float]
    ) -> None:
        before, after = self.volume(*points), self.volume(*points, more)
        assert 0.0 <= before <= after + 1e-12
        assert after <= 1.0 + 1e-12

    def test_against_counting_points_of_a_grid(self) -> None:
        rng = np.random.default_rng(0)
        gain = rng.uniform(-0.2, 1.2, (6, 2))
        points = np.column_stack([0.8 - 0.6 * gain[:, 0], 3.0 + 2.0 * gain[:, 1]])
        middles = (np.arange(400) + 0.5) / 400
        covered = np.zeros((400, 400), dtype=bool)
        for first, second in gain:
            covered |= (middles[:, None] < first) & (middles[None, :] < second)
        assert self.volume(*points) == pytest.approx(covered.mean(), abs=0.005)

    def test_an_ideal_that_is_no_better_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"to maximize nll, but got reference 3 and ideal 3"):
            hypervolume(table((0.5, 4), columns="sscd nll"), OBJECTIVES, UNTOUCHED, {"sscd": 0.2, "nll": 3.0})

    def test_over_forgotten_is_beyond_the_ideal_by_two_standard_errors(self) -> None:
        points = table(
            (0.5, 5.3, 0.1), (0.5, 5.1, 0.1), (0.1, 4.0, 0.1), (0.3, 4.0, 0.1), (0.5, 5.3, math.nan),
            (0.5, math.nan, 1.0),
            columns="sscd nll nll_stderr",
        )  # fmt: skip
        flags = over_forgotten(points, OBJECTIVES, UNTOUCHED, IDEAL)
        assert list(flags) == [True, False, True, False, True, False]

    def test_the_error_of_the_ideal_counts_as_the_row_s_does(self) -> None:
        """5.3 lies 0.3 beyond 5.0: 3 errors of 0.1 alone, 1.9 of √(0.1² + 0.12²)."""
        points = table((0.5, 5.3, 0.1), (0.5, 5.4, 0.1), (0.5, 5.3, math.nan), columns="sscd nll nll_stderr")
        errors = {"nll": 0.12, "sscd": math.nan}
        assert list(over_forgotten(points, OBJECTIVES, UNTOUCHED, IDEAL)) == [True, True, True]
        flags = over_forgotten(points, OBJECTIVES, UNTOUCHED, IDEAL, ideal_stderr=errors)
        assert list(flags) == [False, True, True]


class TestRecommend:
    columns = "sscd nll fid fid_stderr"

    def test_the_member_nearest_to_the_ideal(self) -> None:
        front = table((0.3, 3.1, 9, 0.5), (0.45, 4.2, 9, 0.5), (0.75, 4.9, 9, 0.5), columns=self.columns)
        choice = recommend(front, OBJECTIVES, [FID], UNTOUCHED, IDEAL)
        assert choice.position == 1
        assert "nearest to the ideal" in choice.rule
        assert "3 of 3 members that keep fid <= 1.2x by 2 standard errors" in choice.rule

    def test_a_member_too_close_to_the_bound_is_passed_over(self) -> None:
        front = table((0.3, 3.1, 9, 0.5), (0.45, 4.2, 11.5, 0.5), (0.75, 4.9, 9, 0.5), columns=self.columns)
        assert recommend(front, OBJECTIVES, [FID], UNTOUCHED, IDEAL).position in (0, 2)

    def test_overshoot_is_distance(self) -> None:
        front = table((0.3, 4.6, 9, 0.5), (0.35, 12.0, 9, 0.5), columns=self.columns)
        assert recommend(front, OBJECTIVES, [FID], UNTOUCHED, IDEAL).position == 0

    def test_without_an_ideal_the_best_values_stand_for_it(self) -> None:
        front = table((0.3, 3.1, 9, 0.5), (0.4, 4.5, 9, 0.5), (0.75, 4.9, 9, 0.5), columns=self.columns)
        choice = recommend(front, OBJECTIVES, [FID], UNTOUCHED)
        assert choice.position == 1
        assert "best value of each objective" in choice.rule

    def test_nothing_to_recommend_says_why(self) -> None:
        front = table((0.3, 4.6, 11.5, 0.5), columns=self.columns)
        choice = recommend(front, OBJECTIVES, [FID], UNTOUCHED, IDEAL)
        assert choice.position is None
        assert "the best margin to fid <= 1.2x is 1.0 standard errors" in choice.rule
        empty = recommend(front.iloc[[]], OBJECTIVES, [FID], UNTOUCHED, IDEAL)
        assert empty.position is None
        assert "none is recommended" in empty.rule
        unknown = recommend(front.drop(columns="fid_stderr"), OBJECTIVES, [FID], UNTOUCHED, IDEAL)
        assert unknown.position is None

    def test_no_constraint_at_all(self) -> None:
        front = table((0.3, 4.6), columns="sscd nll")
        assert recommend(front, OBJECTIVES, [], UNTOUCHED, IDEAL).position == 0
