"""The time budget, through real Ray Tune runs that train nothing, by a clock that a report turns."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from made_records import records_of
from optuna.trial import TrialState
from pretending import pretender
from ray import tune
from searches import BASELINE, DEFAULTS, make_search

from trainable.depot import Depot
from tuning.callback import StudyCallback
from tuning.deadline import CutOff, Deadline, UntilDeadline
from tuning.judging import Goals
from tuning.outcome import INTERRUPTED, TIME_BUDGET
from tuning.reconciliation import reconcile, settle
from tuning.record_tables import read_table
from tuning.resume_states import ResumeStates
from tuning.scheduler import ParetoHalving
from tuning.search_generator import StudySearchGenerator
from tuning.searcher import ConstrainedOptunaSearch

STEPS = (10, 20, 30)
NUM_CPUS = 2
GOALS = Goals(DEFAULTS["objectives"], DEFAULTS["constraints"], BASELINE, DEFAULTS["ideal"])


def test_the_time_is_over_at_its_end_and_stays_over() -> None:
    now = [100.0]
    deadline = Deadline(5.0, clock=lambda: now[0])
    assert not deadline.is_over()
    now[0] = 104.9
    assert not deadline.is_over()
    now[0] = 105.0
    assert deadline.is_over()


def test_without_a_budget_the_time_is_never_over() -> None:
    now = [0.0]
    deadline = Deadline(None, clock=lambda: now[0])
    now[0] = 1e12
    assert not deadline.is_over()


def make_trainable() -> type[tune.Trainable]:
    """Forgets the more the later its number, so that halving lets every trial go on."""

    def measure(number: int, rung: int) -> dict[str, float]:
        strength = (number + 1) / 10 + rung / 100
        return {"sscd": 0.9 - 0.8 * strength, "nll": 3.0 + strength, "fid": 11.0}

    return pretender(STEPS, measure)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=NUM_CPUS, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Screen:
    """A view that remembers messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def trials(self, *counts: int, under_way: float = 0.0) -> None: ...

    def front(self, rows: Any, hypervolume: float) -> None: ...

    def message(self, text: str) -> None:
        self.messages.append(text)


class At(tune.Callback):  # type: ignore[misc]
    """Does something when a trial, or without a name the first of all, has reported at a step."""

    def __init__(self, name: str | None, step: int, action: Any) -> None:
        self.name, self.step, self.action = name, step, action

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        if (self.name or trial.trial_id, self.step) == (trial.trial_id, result["step"]):
            self.name = trial.trial_id
            self.action()


make_records = partial(records_of, goals=GOALS)


class Run:
    """One launch of a study, as the trials stage makes it.

    Args:
        root: the study's directory.
        over_after: trial and step of the report after which the time is over.
        interrupt_after: trial and step of the report after which somebody presses Ctrl-C.
    """

    def __init__(
        self,
        root: Path,
        *,
        num_trials: int = 6,
        slots: int = 1,
        over_after: tuple[str | None, int] | None = None,
        interrupt_after: tuple[str, int] | None = None,
        resume: bool = False,
        halving: bool = False,
    ) -> None:
        self.root, self.screen, self.cut_off, now = root, Screen(), CutOff(), [0.0]
        self.search = make_search(root, num_trials=num_trials, last_step=STEPS[-1])
        self.records = make_records(root)
        if resume:
            reconcile(self.search, self.records)
        deadline = Deadline(1.0, clock=lambda: now[0])
        inner = ParetoHalving(GOALS.objectives, GOALS.constraints, rungs=STEPS, baseline=BASELINE) if halving else None
        until = UntilDeadline(deadline, inner)
        more = [At(*over_after, lambda: now.append(now.pop() + 1))] if over_after else []
        more += [At(*interrupt_after, lambda: os.kill(os.getpid(), signal.SIGINT))] if interrupt_after else []
        callback = StudyCallback(
            self.records,
            GOALS,
            num_trials=num_trials,
            view=self.screen,
            outcome=lambda name: until.named(name, self.search.outcome(name)),
        )
        generator = StudySearchGenerator(
            self.search,
            max_concurrent=slots,
            checkpoint_of=ResumeStates(self.records, Depot(self.records.files.root), num_models=0),
            is_over=deadline.is_over,
        )
        self.fit(generator, until, [callback, self.cut_off, *more])
        self.in_time = not deadline.is_over()

    def fit(self, generator: StudySearchGenerator, until: UntilDeadline, callbacks: list[tune.Callback]) -> None:
        tune.Tuner(
            make_trainable(),
            tune_config=tune.TuneConfig(
                search_alg=generator,
                scheduler=until,
                num_samples=100,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="ray",
                storage_path=str(self.root),
                verbose=0,
                callbacks=callbacks,
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_frequency=1),
            ),
        ).fit()

    @property
    def trials(self) -> list[tuple[str, str, str]]:
        table = read_table(self.root / "trials.csv")
        return list(zip(table["trial_id"], table["state"], table["reason"], strict=True))

    @property
    def steps(self) -> dict[str, list[int]]:
        return {name: self.records.steps(name) for name, _, _ in self.trials}


def test_a_running_trial_ends_at_its_next_report_and_none_starts(tmp_path: Path) -> None:
    run = Run(tmp_path, over_after=("00001", 10))
    assert run.trials == [("00000", "COMPLETE", ""), ("00001", "COMPLETE", TIME_BUDGET)]
    assert run.steps == {"00000": [10, 20, 30], "00001": [10, 20]}
    assert run.screen.messages == [f"trial 00001 {TIME_BUDGET}"]
    assert run.cut_off.names == set()
    told = run.search.study.get_trials()
    assert [trial.state for trial in told] == [TrialState.COMPLETE] * 2
    assert [trial.user_attrs.get("stopped_at_rung") for trial in told] == [None, 1]
    assert told[1].user_attrs["step"] == 20

    before = run.trials
    resumed = Run(tmp_path, resume=True)  # with a time of its own
    assert resumed.trials[:2] == before
    assert [state for _, state, _ in resumed.trials] == ["COMPLETE"] * 6
    assert resumed.steps["00001"] == [10, 20], "what the budget ended stays ended"
    assert all(steps == list(STEPS) for name, steps in resumed.steps.items() if name != "00001")


def test_the_report_that_comes_last_counts_for_the_scheduler_and_its_word_goes_first(tmp_path: Path) -> None:
    """At the last rung a trial has simply come to its end."""
    run = Run(tmp_path, over_after=("00001", 20), halving=True)
    assert run.trials == [("00000", "COMPLETE", ""), ("00001", "COMPLETE", "")]
    assert run.steps["00001"] == list(STEPS)


def test_a_trial_that_waits_for_a_machine_does_not_start(tmp_path: Path) -> None:
    """Its setting is run again, with its seed, when the study goes on."""
    run = Run(tmp_path, slots=NUM_CPUS + 1, over_after=(None, 10), num_trials=5)
    settle(run.search, run.records)
    waited = [name for name, steps in run.steps.items() if not steps]
    assert "00002" in waited, "of three trials on two machines"
    ended = {name: (state, reason) for name, state, reason in run.trials}
    for name, steps in run.steps.items():
        assert ended[name] == (("COMPLETE", TIME_BUDGET) if steps else ("STOPPED", "study ended"))
    lost = {name: run.search.study.get_trials()[int(name)] for name in waited}
    assert {(trial.state, trial.user_attrs["reason"]) for trial in lost.values()} == {(TrialState.FAIL, INTERRUPTED)}

    resumed = Run(tmp_path, resume=True, num_trials=5)
    told = resumed.search.study.get_trials()
    complete = [trial for trial in told if trial.state == TrialState.COMPLETE]
    assert len(complete) == 5
    for trial in lost.values():
        [again] = [other for other in complete if other.user_attrs["slot"] == trial.user_attrs["slot"]]
        assert again.params == trial.params
    assert resumed.cut_off.names == set()


def test_an_interrupt_cuts_off_at_once_also_when_it_comes_again(tmp_path: Path) -> None:
    first = Run(tmp_path, interrupt_after=("00001", 10))
    assert first.in_time
    assert first.cut_off.names == {"00001"}
    assert first.steps["00001"] == [10]
    again = Run(tmp_path, resume=True, interrupt_after=("00001", 20))
    assert again.cut_off.names == {"00001"}
    assert again.trials[-1] == ("00001", "STOPPED", "study ended")
    last = Run(tmp_path, resume=True)
    assert last.trials == [(f"{number:05d}", "COMPLETE", "") for number in range(6)]
    assert all(steps == list(STEPS) for steps in last.steps.values())


def test_an_interrupt_after_the_end_of_the_time_still_cuts_off(tmp_path: Path) -> None:
    run = Run(tmp_path, over_after=("00000", 10), interrupt_after=("00000", 10))
    assert not run.in_time
    assert run.cut_off.names == {"00000"}


def test_what_reported_before_an_interruption_counts_where_no_time_is_left(tmp_path: Path) -> None:
    Run(tmp_path, interrupt_after=("00000", 20))
    search = make_search(tmp_path, num_trials=6, last_step=STEPS[-1])
    records = make_records(tmp_path)
    reconcile(search, records)
    assert search.running_trials() == ["00000"]
    settle(search, records)
    table = read_table(tmp_path / "trials.csv")
    assert list(zip(table["state"], table["reason"], strict=True)) == [("COMPLETE", TIME_BUDGET)]
    assert told_states(search) == [TrialState.COMPLETE]


def test_a_trial_whose_last_report_is_kept_and_whose_end_was_lost_is_not_run_on(tmp_path: Path) -> None:
    search, records = make_search(tmp_path, num_trials=2, last_step=STEPS[-1]), make_records(tmp_path)
    config = search.suggest("any")
    assert isinstance(config, dict)
    records.start_trial(config["trial_id"], config)
    for rung, step in enumerate(STEPS):
        report = {"step": step, "rung": rung, "sscd": 0.5, "nll": 4.0, "fid": 11.0}
        search.on_trial_result(config["trial_id"], report)
        records.add_report({**config, **report})
    again = make_search(tmp_path, num_trials=2, last_step=STEPS[-1])
    reconcile(again, records)
    assert told_states(again) == [TrialState.COMPLETE]
    assert [str(state) for state in records.states.values()] == ["COMPLETE"]
    assert again.suggest("any") != config, "it is not handed out once more"


@pytest.mark.parametrize("failed", [False, True])
def test_an_end_of_which_optuna_has_heard_and_the_records_have_not_is_told_to_them(
    tmp_path: Path, failed: bool
) -> None:
    """Between the two Ray may be killed; the trial would be running in trials.csv for ever."""
    search, records = make_search(tmp_path, num_trials=2, last_step=STEPS[-1]), make_records(tmp_path)
    config = search.suggest("any")
    assert isinstance(config, dict)
    records.start_trial(config["trial_id"], config)
    report = {"step": STEPS[0], "rung": 0, "sscd": 0.5, "nll": 4.0, "fid": 11.0}
    records.add_report({**config, **report})
    search.on_trial_result(config["trial_id"], report)
    search.note_failure(config["trial_id"], "diverged")
    search.on_trial_complete(config["trial_id"], report, error=failed)
    again = make_search(tmp_path, num_trials=2, last_step=STEPS[-1])
    reconcile(again, records)
    [ended] = read_table(tmp_path / "trials.csv").to_dict("records")
    expected = ("FAIL", "diverged") if failed else ("COMPLETE", "stopped at rung 0")
    assert (ended["state"], ended["reason"]) == expected
    assert told_states(again) == [TrialState.FAIL if failed else TrialState.COMPLETE]


def told_states(search: ConstrainedOptunaSearch) -> list[TrialState]:
    return [trial.state for trial in search.study.get_trials()]
