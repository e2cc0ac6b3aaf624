"""How the search is told of a trial, and what is settled after an interruption."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from searches import (
    BASELINE,
    DEFAULTS,
    make_search,
    report,
    run_all,
    run_trial,
    start,
    told,
)

from tuning.callback import verdict
from tuning.goals import Constraint, Objective
from tuning.records import TrialState as Ended

pytestmark = pytest.mark.usefixtures("without_sync")


class TestTelling:
    def test_the_highest_rung_counts_and_constraints_survive_a_reload(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_result(name, report(10, 0.1, 6.0, 10.5))
        search.on_trial_complete(name, report(20, 0.5, 4.0, 11.0))
        trial = told(make_search(tmp_path), name)
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [0.5, 4.0]
        assert trial.constraints == {"fid": pytest.approx((11.0 - 12.0) / 12.0)}
        expected = {"method": "siss", "step": 20, "rung": 1, "feasible": True, "violation": 0.0}
        assert trial.user_attrs.items() >= expected.items()
        assert trial.user_attrs["constraint:fid"] == pytest.approx(-1 / 12)

    def test_of_one_rung_the_feasible_report_that_adds_most_counts(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        first = start(search)
        search.on_trial_complete(first, report(10, 0.2, 3.5))
        name = start(search)
        for step, made in {
            10: report(10, 0.19, 3.55, rung=0),  # hardly more than the front has
            12: report(12, 0.5, 5.0, rung=0),  # adds most
            14: report(14, 0.1, 6.0, 13.0, rung=0),  # the ideal, but infeasible
        }.items():
            search.on_trial_result(name, {**made, "step": step})
        search.on_trial_complete(name)
        assert told(search, name).values == [0.5, 5.0]
        assert told(search, name).user_attrs["step"] == 12

    def test_of_infeasible_reports_the_least_violation_counts(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_result(name, report(10, 0.1, 6.0, 24.0, rung=0))
        search.on_trial_complete(name, report(12, 0.8, 3.2, 18.0, rung=0))
        trial = told(search, name)
        assert trial.values == [0.8, 3.2]
        assert trial.constraints == {"fid": pytest.approx(0.5)}
        assert trial.user_attrs["feasible"] is False
        assert trial.user_attrs["violation"] == pytest.approx(0.5)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
    def test_a_bound_that_was_not_measured_is_far_from_feasible(self, tmp_path: Path, value: float | None) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_complete(name, report(20, 0.5, 4.0, fid=value))  # type: ignore[arg-type]
        trial = told(search, name)
        assert trial.state == TrialState.COMPLETE
        assert trial.constraints["fid"] >= 100

    @pytest.mark.parametrize(
        ("reports", "error", "reason"),
        [
            ([], False, "never reported"),
            ([], True, "error"),
            ([report(10, 0.5, float("nan"))], False, "objective not finite"),
            ([report(10, 0.5, 4.0), report(20, float("inf"), 4.0)], False, "objective not finite"),
            ([{"step": 10, "rung": 0, "sscd": 0.5}], False, "objective not finite"),
            ([report(10, 0.5, 4.0)], True, "diverged"),
        ],
    )
    def test_what_failed_is_told_as_failed(
        self, tmp_path: Path, reports: list[dict[str, Any]], error: bool, reason: str
    ) -> None:
        search = make_search(tmp_path)
        name = start(search)
        for made in reports:
            search.on_trial_result(name, made)
        if reason == "diverged":
            search.note_failure(name, reason)
        search.on_trial_complete(name, reports[-1] if reports and not error else None, error=error)
        trial = told(search, name)
        assert trial.state == TrialState.FAIL
        assert trial.user_attrs["reason"] == reason
        outcome = search.outcome(name)
        assert outcome is not None
        assert (outcome.completed, outcome.reason) == (False, reason)
        assert search.running_trials() == []

    def test_a_nan_that_was_overcome_fails_nothing(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_result(name, report(10, float("nan"), 4.0))
        search.on_trial_complete(name, report(20, 0.4, 4.5))
        assert told(search, name).values == [0.4, 4.5]

    def test_reports_of_a_failed_trial_stay_in_the_front_that_others_add_to(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        failed = start(search)
        search.on_trial_result(failed, report(10, 0.2, 5.5))
        search.on_trial_complete(failed, error=True)
        name = start(search)
        search.on_trial_result(name, report(10, 0.25, 5.0, rung=0))  # larger by itself, dominated by the failed one's
        search.on_trial_complete(name, report(12, 0.15, 3.2, rung=0))
        assert told(search, name).values == [0.15, 3.2]

    def test_a_trial_with_nothing_to_go_on_for_is_complete_and_says_why(self, tmp_path: Path) -> None:
        """Also by a searcher that was made anew: the reason is kept with the report."""
        search = make_search(tmp_path, last_step=40)
        name = start(search)
        search.on_trial_result(name, report(10, 0.2, 5.0, 200.0, ending="quality beyond repair"))
        again = make_search(tmp_path, last_step=40)
        again.reconcile({name: ()})
        outcome = again.outcome(name)
        assert outcome is not None
        assert verdict(outcome) == (Ended.COMPLETE, "quality beyond repair")
        assert outcome.stopped_at_rung == 0
        assert outcome.values == (0.2, 5.0)

    def test_a_trial_stopped_early_is_complete_and_says_so(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, last_step=40)
        early, late = start(search), start(search)
        search.on_trial_complete(early, report(20, 0.5, 4.0))
        search.on_trial_complete(late, report(40, 0.5, 4.0))
        assert told(search, early).state == TrialState.COMPLETE
        assert told(search, early).user_attrs["stopped_at_rung"] == 1
        assert "stopped_at_rung" not in told(search, late).user_attrs

    def test_the_steps_that_were_told(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, last_step=40)
        name = start(search)
        assert search.steps_told(name) == set()
        search.on_trial_result(name, report(10, 0.5, 4.0))
        assert search.steps_told(name) == make_search(tmp_path).steps_told(name) == {10}
        search.on_trial_complete(name, report(20, 0.5, 4.0))
        assert search.steps_told(name) == {10, 20}

    def test_telling_twice_changes_nothing(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_complete(name, report(20, 0.5, 4.0))
        search.on_trial_result(name, report(30, 0.1, 6.0))
        search.on_trial_complete(name, error=True)
        assert told(search, name).state == TrialState.COMPLETE
        assert told(search, name).values == [0.5, 4.0]

    def test_several_objectives_and_constraints(self, tmp_path: Path) -> None:
        bounds = (
            Constraint("fid", "<=", 1.2, relative=True),
            Constraint("fid", ">=", 5.0),
            Constraint("inception_score", ">=", 0.5, relative=True),
        )
        objectives = (*DEFAULTS["objectives"], Objective("regeneration_rate", "minimize"))
        search = make_search(
            tmp_path,
            objectives=objectives,
            constraints=bounds,
            baseline={**BASELINE, "regeneration_rate": 0.1},
            ideal={"sscd": 0.1, "nll": 6.0, "regeneration_rate": 0.0},
        )
        name = start(search)
        search.on_trial_complete(name, report(20, 0.5, 4.0, 4.0, inception_score=2.0, regeneration_rate=0.05))
        trial = told(search, name)
        assert trial.values == [0.5, 4.0, 0.05]
        assert trial.constraints == {
            "fid <=": pytest.approx((4 - 12) / 12),
            "fid >=": pytest.approx((5 - 4) / 5),
            "inception_score": pytest.approx((4 - 2) / 4),
        }
        assert trial.user_attrs["violation"] == pytest.approx(0.7)
        assert [direction.name for direction in search.study.directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]


class TestResume:
    def test_numbering_goes_on(self, tmp_path: Path) -> None:
        run_all(make_search(tmp_path), at_most=3)
        config = run_trial(make_search(tmp_path))
        assert config is not None
        assert config["trial_id"] == "00003"

    def test_reconcile_settles_everything(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, max_concurrent=6)
        names = [start(search) for _ in range(5)]
        search.on_trial_result(names[3], report(10, 0.5, 4.0))
        resumed = make_search(tmp_path, max_concurrent=6)
        assert resumed.running_trials() == names
        resumed.reconcile(
            {names[0]: [report(10, 0.6, 3.5), report(20, 0.4, 4.2)]},
            running={names[1]},
            failed={names[2]: "out of memory"},
            again=[names[3]],
        )
        assert told(resumed, names[0]).values == [0.4, 4.2]
        assert told(resumed, names[2]).user_attrs["reason"] == "out of memory"
        assert told(resumed, names[4]).user_attrs["reason"] == "interrupted"
        assert resumed.running_trials() == [names[1], names[3]]

        handed_out = resumed.suggest("any")
        assert isinstance(handed_out, dict)
        assert (handed_out["trial_id"], handed_out["method"]) == (names[3], "naive_deletion")
        resumed.on_trial_complete(names[3], report(20, 0.3, 5.0))
        assert told(resumed, names[3]).values == [0.3, 5.0]
        resumed.on_trial_complete(names[1], report(20, 0.5, 4.0))

        lost = json.loads(told(resumed, names[4]).user_attrs["config"])
        again = resumed.suggest("any")
        assert isinstance(again, dict)
        assert again == {**lost, "trial_id": "00005"}, "a lost setting runs again with the seed that it had"
        resumed.on_trial_complete("00005", report(20, 0.5, 4.0))
        rest = run_all(resumed)
        assert len(rest) == 12 - 5, "a lost trial frees its place in the budget"
        assert resumed.running_trials() == []

    def test_cut_off_trials_are_complete_with_what_they_reported(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, last_step=40)
        reported, silent = start(search), start(search)
        search.on_trial_result(reported, report(10, 0.5, 4.0))
        search.reconcile(dict.fromkeys(search.running_trials(), ()))
        assert told(search, reported).values == [0.5, 4.0]
        assert told(search, reported).user_attrs["stopped_at_rung"] == 0
        assert told(search, silent).user_attrs["reason"] == "never reported"

    def test_a_torn_last_line_of_the_journal_is_cut_off(self, tmp_path: Path) -> None:
        run_all(make_search(tmp_path), at_most=2)
        with (tmp_path / "optuna.log").open("a") as journal:
            journal.write('{"op_code": 4, "wor')
        search = make_search(tmp_path)
        run_all(search, at_most=1)
        assert len(make_search(tmp_path).study.trials) == 3

    def test_a_database_serves_as_well(self, tmp_path: Path) -> None:
        storage = f"sqlite:///{tmp_path}/optuna.db"
        run_all(make_search(tmp_path, storage=storage), at_most=3)
        search = make_search(tmp_path, storage=storage)
        run_all(search, at_most=1)
        assert [trial.state for trial in search.study.trials] == [TrialState.COMPLETE] * 4
        assert search.study.trials[3].constraints.keys() == {"fid"}

    def test_pickling_opens_the_storage_again(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        run_all(search, at_most=2)
        copy = pickle.loads(pickle.dumps(search))
        config = run_trial(copy)
        assert config is not None
        assert config["trial_id"] == "00002"
