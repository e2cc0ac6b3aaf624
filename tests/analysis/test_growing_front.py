"""A front that grows report by report is the front of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.front import hypervolume, pareto_front
from analysis.growing_front import GrowingFront
from tuning.goals import Constraint, Objective
from tuning.judging import Goals


def goals_of(num_objectives: int) -> Goals:
    objectives = [Objective(f"m{i}", "minimize" if i % 2 == 0 else "maximize") for i in range(num_objectives)]
    baseline = {o.metric: 0.9 if o.sign > 0 else 0.1 for o in objectives} | {"fid": 1.0}
    ideal = {o.metric: 0.2 if o.sign > 0 else 0.8 for o in objectives}
    return Goals(tuple(objectives), (Constraint("fid", "<=", 1.2, relative=True),), baseline, ideal)


def random_reports(goals: Goals, seed: int, number: int) -> list[dict[str, Any]]:
    """With equal objectives, NaN, infinities, and values beyond the ideal or worse than the baseline."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 12, size=(number, len(goals.objectives))) / 11
    values[rng.random(values.shape) < 0.03] = np.nan
    values[rng.random(values.shape) < 0.02] = -np.inf
    fid = np.where(rng.random(number) < 0.05, np.nan, rng.uniform(0.8, 1.5, number))
    names = [objective.metric for objective in goals.objectives]
    return [
        {"trial_id": f"{i:05d}", **dict(zip(names, map(float, row), strict=True)), "fid": float(fid[i])}
        for i, row in enumerate(values)
    ]


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
def test_after_every_report_it_is_the_front_of_all_so_far(num_objectives: int) -> None:
    goals = goals_of(num_objectives)
    for seed in range(3):
        reports = random_reports(goals, seed, 60)
        growing = GrowingFront(goals)
        for count, report in enumerate(reports, start=1):
            entered = growing.add(report)
            table = pd.DataFrame(reports[:count])
            front = pareto_front(table, goals.objectives, goals.constraints, goals.baseline)
            assert [member["trial_id"] for member in growing.members] == front["trial_id"].tolist()
            assert entered == (report["trial_id"] in set(front["trial_id"]))
            worth = hypervolume(front, goals.objectives, goals.baseline, goals.ideal)
            assert growing.hypervolume == pytest.approx(worth, abs=1e-12)
        assert 0 < len(growing) < len(reports)
        assert growing.hypervolume > 0


def test_what_one_more_would_add_leaves_the_front_as_it_was() -> None:
    goals = goals_of(3)
    reports = random_reports(goals, 5, 80)
    front = GrowingFront(goals, reports[:40])
    before, worth = front.members, front.hypervolume
    for report in reports[40:]:
        grown = GrowingFront(goals, [*reports[:40], report])
        assert front.hypervolume_with(report) == pytest.approx(grown.hypervolume, abs=1e-12)
    assert front.members == before
    assert front.hypervolume == worth


def test_an_empty_front_is_worth_nothing() -> None:
    front = GrowingFront(goals_of(2))
    assert (len(front), front.members, front.hypervolume) == (0, [], 0.0)
    assert front.hypervolume_with({"m0": 0.2, "m1": 0.8, "fid": 1.0}) == pytest.approx(1.0)
