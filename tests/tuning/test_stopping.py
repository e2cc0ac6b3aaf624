"""The scheduler that asks the search whether a trial is worth going on with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from tuning.judging import Report
from tuning.stopping import ExpectedImprovementStopping

TRIAL: Any = SimpleNamespace(trial_id="00007")


@pytest.mark.parametrize("worth", [True, False])
def test_the_search_decides(worth: bool) -> None:
    asked: list[tuple[str, Report]] = []

    def decide(name: str, report: Report) -> bool:
        asked.append((name, report))
        return worth

    scheduler = ExpectedImprovementStopping(decide)
    answer = scheduler.on_trial_result(None, TRIAL, {"step": 10, "repeat": 0})
    assert answer == (TrialScheduler.CONTINUE if worth else TrialScheduler.STOP)
    assert asked == [("00007", {"step": 10, "repeat": 0})]
    assert scheduler.debug_string() == f"expected improvement, {int(not worth)} trials stopped"


@pytest.mark.parametrize("report", [{"step": 10, "repeat": 1}, {"done": True}])
def test_repeats_and_what_is_no_report_go_on_unasked(report: Report) -> None:
    def decide(name: str, report: Report) -> bool:
        raise AssertionError("nobody was to be asked")

    assert ExpectedImprovementStopping(decide).on_trial_result(None, TRIAL, report) == TrialScheduler.CONTINUE


def test_it_has_no_metric() -> None:
    scheduler = ExpectedImprovementStopping(lambda name, report: True)
    assert scheduler.set_search_properties("_metric", "max")
    assert scheduler.metric is None
