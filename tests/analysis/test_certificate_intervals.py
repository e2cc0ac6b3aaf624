"""Intervals of a certificate's measurements: of one kind for each metric, and readable."""

from __future__ import annotations

import math

import pytest

from analysis.certificates.intervals import interval_entries, interval_text


def test_a_metric_s_own_interval_is_taken_where_it_has_one() -> None:
    assert interval_entries(0.0, 0.001, (0.0, 0.004)) == {"low": 0.0, "high": 0.004, "interval": "own"}


def test_else_it_is_195996_standard_errors_to_either_side() -> None:
    found = interval_entries(3.0, 0.5, None)
    assert found["interval"] == "normal"
    assert (found["low"], found["high"]) == pytest.approx((3 - 0.979982, 3 + 0.979982), abs=1e-6)


@pytest.mark.parametrize(("value", "stderr"), [(math.nan, 0.1), (3.0, math.nan), (math.inf, 0.1)])
def test_without_an_error_there_is_none(value: float, stderr: float) -> None:
    assert interval_entries(value, stderr, None) == {}


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(4.11931, 4.12751, "[4.1193, 4.1275]"), (0.0, 0.0192, "[0.0000, 0.0192]"), (1034.4, 1434.1, "[1034, 1434]"),
     (2.0, 2.0, "[2, 2]"), (math.nan, math.nan, "[nan, nan]")],
)  # fmt: skip
def test_ends_have_the_digits_that_tell_them_apart(low: float, high: float, text: str) -> None:
    assert interval_text(low, high) == text
