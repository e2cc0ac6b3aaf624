"""Violation is the summed relative excess over the bounds; what was not measured is infeasible."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.constraints import bound_value, feasible_by, is_feasible, margin_in_stderr, violation
from tuning.goals import Constraint

FID = Constraint("fid", "<=", 1.2, relative=True)
QUALITY = Constraint("clip_iqa", ">=", 0.6)
BASELINE = {"fid": 10.0}


def test_bounds_in_the_metrics_unit() -> None:
    assert bound_value(FID, BASELINE) == pytest.approx(12.0)
    assert bound_value(QUALITY, {}) == 0.6
    with pytest.raises(KeyError, match=r"'fid <= 1.2x' needs the untouched model's fid"):
        bound_value(FID, {"nll": 3.0})


def test_violation_sums_relative_excesses() -> None:
    assert violation({"fid": 12.0, "clip_iqa": 0.6}, [FID, QUALITY], BASELINE) == 0.0
    assert violation({"fid": 18.0, "clip_iqa": 0.3}, [FID, QUALITY], BASELINE) == pytest.approx(0.5 + 0.5)
    assert violation({"fid": 1.0, "clip_iqa": 0.3}, [FID, QUALITY], BASELINE) == pytest.approx(0.5), "no offsetting"
    assert violation({}, [], {}) == 0.0


def test_a_negative_bound_is_scaled_by_its_size_and_zero_by_nothing() -> None:
    assert violation({"x": -1.0}, [Constraint("x", "<=", -2.0)], {}) == pytest.approx(0.5)
    assert violation({"x": 0.25}, [Constraint("x", "<=", 0.0)], {}) == pytest.approx(0.25)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "", "12"])
def test_what_is_no_finite_number_is_infeasible(value: object) -> None:
    report = {"fid": value, "clip_iqa": 0.9}
    assert violation(report, [FID, QUALITY], BASELINE) == math.inf
    assert not is_feasible(report, [FID, QUALITY], BASELINE)
    assert not feasible_by({**report, "fid_stderr": 0.0}, [FID], BASELINE)
    assert violation({}, [FID], BASELINE) == math.inf
    assert violation({"fid": 1.0}, [FID], {"fid": math.nan}) == math.inf


@given(
    st.floats(-1e3, 1e3),
    st.floats(-1e3, 1e3).filter(lambda bound: abs(bound) > 1e-3),
    st.sampled_from(["<=", ">="]),
)
def test_feasible_exactly_on_the_right_side(value: float, bound: float, op: str) -> None:
    constraint = Constraint("x", op, bound)  # type: ignore[arg-type]
    inside = value <= bound if op == "<=" else value >= bound
    assert is_feasible({"x": value}, [constraint], {}) == inside
    assert feasible_by({"x": value, "x_stderr": 0.0}, [constraint], {}) == inside
    assert violation({"x": value}, [constraint], {}) == pytest.approx(0 if inside else abs(value - bound) / abs(bound))


def test_feasible_with_standard_errors_to_spare() -> None:
    assert feasible_by({"fid": 11.0, "fid_stderr": 0.5}, [FID], BASELINE)
    assert not feasible_by({"fid": 11.0, "fid_stderr": 0.51}, [FID], BASELINE)
    assert feasible_by({"fid": 11.0, "fid_stderr": 0.51}, [FID], BASELINE, num_stderr=1)
    assert not feasible_by({"clip_iqa": 0.65, "clip_iqa_stderr": 0.03}, [QUALITY], {})
    assert not feasible_by({"fid": 1.0}, [FID], BASELINE), "an unknown error spares nothing"
    assert feasible_by({}, [], {})


def test_the_error_of_the_ratio_decides_where_it_is_known() -> None:
    report = {"fid": 11.0, "fid_stderr": 3.0, "fid_ratio_stderr": 0.04}
    assert margin_in_stderr(report, FID, BASELINE) == pytest.approx((1.2 - 1.1) / 0.04)
    assert feasible_by(report, [FID], BASELINE)
    assert margin_in_stderr({**report, "fid": 13.0}, FID, BASELINE) == pytest.approx((1.2 - 1.3) / 0.04)
    absolute = Constraint("fid", "<=", 12.0)
    assert margin_in_stderr(report, absolute, {}) == pytest.approx(1 / 3), "an absolute bound knows of no other model"
    unknown = {**report, "fid_ratio_stderr": math.nan}
    assert margin_in_stderr(unknown, FID, BASELINE) == pytest.approx(1 / 3)


def test_margins_without_error() -> None:
    assert margin_in_stderr({"fid": 12.0, "fid_stderr": 0.0}, FID, BASELINE) == math.inf, "on the bound is inside"
    assert margin_in_stderr({"fid": 12.1, "fid_stderr": 0.0}, FID, BASELINE) == -math.inf
    assert math.isnan(margin_in_stderr({"fid": 12.1}, FID, BASELINE))
