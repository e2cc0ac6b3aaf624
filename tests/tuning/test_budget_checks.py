"""Budgets that hold no trial, and everything else that a schedule can have wrong, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import FIDELITY

from tune_unlearning import main
from tuning.checks.budgets import least_calls
from tuning.config import Options, Problem, StudyConfig
from tuning.goals import Constraint, Objective

Load = Callable[..., tuple[StudyConfig, Options]]
SETTINGS = {
    **FIDELITY,
    "accumulation": 2,
    "forget": ("a.png", "b.png"),
    "forget_separately": False,
    "objectives": (Objective("sscd", "minimize"),),
    "constraints": (),
    "report_metrics": (),
    "evaluation_batch_size": 100,
    "ladder": (),
    "bound_confidence": None,
}
FID = {"constraints": (Constraint("fid", "<=", 1.2, relative=True),)}


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({}, 10 * 2),
        ({"accumulation": 5}, 10 * 5),
        (FID, 10 * 2 + 15 * 3),
        ({**FID, "ladder": (0.5, 1.0)}, 10 * 2 + 15 * 2),
        ({**FID, "bound_confidence": 0.95}, 10 * 2 + 15),
        ({"report_metrics": ("copied_share",), "evaluation_batch_size": 256}, 10 * 2 + 15),
        ({"objectives": (Objective("nll", "maximize"),)}, 10 * 2 + 70),
        ({"objectives": (Objective("nll", "maximize"),), "evaluation_batch_size": 3}, 10 * 2 + 70 * 2),
        ({"report_metrics": ("mine.metric:Metric",)}, 10 * 2),
        ({"forget_separately": True}, 2 * 10 * 2),
    ],
)
def test_the_fewest_network_calls_to_the_first_report(changes: dict[str, object], calls: int) -> None:
    assert least_calls((10, 20), {**SETTINGS, **changes}) == calls


class TestRefusals:
    def test_a_time_that_cannot_hold_one_report(self, problems_of: Callable[..., list[Problem]], load: Load) -> None:
        flags = ("--rungs", "100", "200", "--accumulation", "2", "--evaluation-batch-size", "128")
        least = (100 * 2 + 15 * 2 + 70) / 1000
        (problem,) = problems_of(*flags, "--time-budget", f"{least - 0.001}s")
        assert problem.rule == (
            "time_budget must hold one report, at least 0.3s: 300 network calls of a millisecond or more each"
        )
        assert problem.value == "0.299s"
        assert "give more time" in problem.remedy
        assert load(*flags, "--time-budget", f"{least}s")[0].time_budget == least

    def test_trials_that_cannot_hold_one_setting(self, problems_of: Callable[..., list[Problem]], load: Load) -> None:
        (problem,) = problems_of("--num-trials", "2", "--repeats", "3")
        assert problem.rule == "num_trials must be at least repeats, since one setting takes that many trials"
        assert problem.value == "2 and 3"
        assert "--num-trials 3" in problem.remedy
        assert load("--num-trials", "3", "--repeats", "3")[0].repeats == 3

    def test_everything_that_is_wrong_with_a_schedule_at_once(
        self, workspace: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = sorted(workspace.rglob("*"))
        flags = ["--study", "study.yaml", "--scheduler", "pareto_halving", "--rungs", "40", "20", "20"]
        flags += ["--reduction-factor", "1", "--objectives", "minimize nll", "maximize nll", "--time-budget", "0.01s"]
        assert main([*flags, "--num-trials", "1", "--repeats", "2"]) == 2
        printed = capsys.readouterr().err
        for rule in (
            "5 problems; nothing was started or written",
            "rungs must rise strictly, but got 40, 20, 20",
            "reduction_factor: input should be greater than or equal to 2, but got 1",
            "objectives must be different metrics, but got minimize nll, maximize nll",
            "time_budget must hold one report",
            "num_trials must be at least repeats, since one setting takes that many trials, but got 1 and 2",
        ):
            assert rule in printed
        assert sorted(workspace.rglob("*")) == before
