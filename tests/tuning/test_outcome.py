"""The report that stands for a trial, by the rule that is written where it is chosen."""

from __future__ import annotations

import pytest

from tuning.goals import Constraint, Objective
from tuning.judging import Goals, Report
from tuning.outcome import representative

GOALS = Goals(
    (Objective("sscd", "minimize"), Objective("nll", "maximize")),
    (Constraint("fid", "<=", 1.2, relative=True),),
    {"sscd": 0.8, "nll": 3.0, "fid": 10.0},
    {"sscd": 0.2, "nll": 5.0},
)


def report(step: int, rung: int, sscd: float, nll: float, fid: float) -> Report:
    return {"step": step, "rung": rung, "sscd": sscd, "nll": nll, "fid": fid}


@pytest.mark.parametrize(("others", "step"), [([report(40, 3, 0.5, 4.0, 9)], 25), ([], 20)])
def test_what_adds_most_to_the_front_at_the_highest_rung(others: list[Report], step: int) -> None:
    own = [
        report(10, 0, 0.2, 5.0, 9),  # better, but of a lower rung
        report(20, 1, 0.49, 4.0, 9),
        report(25, 1, 0.7, 4.6, 9),
        report(30, 1, 0.2, 5.0, 99),  # infeasible
    ]
    assert representative(own, others, GOALS)["step"] == step


def test_the_least_violation_where_none_is_feasible_and_of_equals_the_latest() -> None:
    own = [report(10, 0, 0.5, 4.0, 12.1), report(20, 1, 0.5, 4.0, 30), report(25, 1, 0.7, 3.0, 20)]
    assert representative(own, [], GOALS)["step"] == 25
    assert representative([*own, report(30, 1, 0.7, 3.0, 20)], [], GOALS)["step"] == 30
