"""Stopping trials through real Ray Tune runs that train nothing: what becomes of them, also across a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from made_records import records_of
from optuna.trial import TrialState
from pretending import pretender
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from searches import BASELINE, DEFAULTS, make_search

from trainable.depot import Depot
from tuning.callback import StudyCallback
from tuning.judging import Goals
from tuning.reconciliation import reconcile
from tuning.record_tables import read_table
from tuning.records import Records
from tuning.resume_states import ResumeStates
from tuning.scheduler import ParetoHalving
from tuning.search_generator import StudySearchGenerator
from tuning.searcher import ConstrainedOptunaSearch
from tuning.stopping import ExpectedImprovementStopping

pytestmark = pytest.mark.slow

RUNGS = (10, 20, 30)
NUM_TRIALS = 6
GOALS = Goals(DEFAULTS["objectives"], DEFAULTS["constraints"], BASELINE, DEFAULTS["ideal"])
#: How far each trial forgets; by the first two rungs' reports: 1, 3 and 4 are worse than 0, 5 is infeasible.
STRENGTH = (0.5, 0.2, 0.8, 0.4, 0.3, 0.9)
STOPPED_AT = {"00001": 0, "00003": 0, "00004": 0, "00005": 0}


def make_trainable() -> type[tune.Trainable]:
    strengths = STRENGTH  # of this function, not of this module, which workers cannot import

    def measure(number: int, rung: int) -> dict[str, float]:
        strength = strengths[number] + rung / 100
        return {"sscd": 0.95 - 0.8 * strength, "nll": 3.0 + strength, "fid": 15.0 if number == 5 else 11.0}

    return pretender(RUNGS, measure)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Room enough for the actors that interrupted runs leave behind, as no process dies here."""
    ray.init(address="local", num_cpus=6, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Interrupted(BaseException):
    """What Ray cleans up after no more than after a kill."""


class StopAt(tune.Callback):  # type: ignore[misc]
    """Ends the run without a farewell when a trial is saved for the n-th time."""

    def __init__(self, name: str, times: int) -> None:
        self.name, self.left = name, times

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.left -= trial.trial_id == self.name
        if self.left == 0:
            raise Interrupted


class Screen:
    """A view that remembers messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def trials(self, *counts: int, under_way: float = 0.0) -> None: ...

    def front(self, rows: Any, hypervolume: float) -> None: ...

    def message(self, text: str) -> None:
        self.messages.append(text)


make_records = partial(records_of, goals=GOALS)


Scheduler = Callable[[ConstrainedOptunaSearch, Records], FIFOScheduler]


def halving(search: ConstrainedOptunaSearch, records: Records) -> ParetoHalving:
    scheduler = ParetoHalving(GOALS.objectives, GOALS.constraints, rungs=RUNGS, baseline=GOALS.baseline)
    scheduler.rebuild(records.reports_frame())
    return scheduler


def expected_improvement(search: ConstrainedOptunaSearch, records: Records) -> ExpectedImprovementStopping:
    return ExpectedImprovementStopping(search.is_worth_going_on)


def run(
    root: Path, *more: tune.Callback, resume: bool = False, make_scheduler: Scheduler = halving
) -> tuple[ConstrainedOptunaSearch, Screen]:
    """One start of a study, as the trials stage makes it."""
    search, records, screen = (
        make_search(root, num_trials=NUM_TRIALS, last_step=RUNGS[-1]),
        make_records(root),
        Screen(),
    )
    if resume:
        reconcile(search, records)
    scheduler = make_scheduler(search, records)
    callback = StudyCallback(records, GOALS, num_trials=NUM_TRIALS, view=screen, outcome=search.outcome)
    tuner = tune.Tuner(
        make_trainable(),
        tune_config=tune.TuneConfig(
            search_alg=StudySearchGenerator(
                search, max_concurrent=1, checkpoint_of=ResumeStates(records, Depot(records.files.root), num_models=0)
            ),
            scheduler=scheduler,
            num_samples=NUM_TRIALS,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(root),
            verbose=0,
            callbacks=[callback, *more],
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=1),
        ),
    )
    tuner.fit()
    return search, screen


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ConstrainedOptunaSearch, Screen]:
    root = tmp_path_factory.mktemp("whole")
    return root, *run(root)


def test_a_dominated_trial_is_stopped_and_complete(finished: tuple[Path, ConstrainedOptunaSearch, Screen]) -> None:
    root, _, screen = finished
    trials = read_table(root / "trials.csv").set_index("trial_id")
    assert set(trials["state"]) == {"COMPLETE"}
    assert trials["reason"].to_dict() == {
        f"{number:05d}": "stopped at rung 0" if f"{number:05d}" in STOPPED_AT else "" for number in range(NUM_TRIALS)
    }
    steps = read_table(root / "reports.csv").groupby("trial_id")["step"].apply(list)
    assert {name: taken for name, taken in steps.items() if taken != list(RUNGS)} == {
        name: list(RUNGS[: rung + 1]) for name, rung in STOPPED_AT.items()
    }
    assert screen.messages == [f"trial {name} stopped at rung {rung}" for name, rung in STOPPED_AT.items()]


def test_optuna_is_told_with_the_report_that_stands_for_it(
    finished: tuple[Path, ConstrainedOptunaSearch, Screen],
) -> None:
    told = {f"{trial.number:05d}": trial for trial in finished[1].study.get_trials()}
    assert {trial.state for trial in told.values()} == {TrialState.COMPLETE}
    stopped = {name: trial.user_attrs.get("stopped_at_rung") for name, trial in told.items()}
    assert {name: rung for name, rung in stopped.items() if rung is not None} == STOPPED_AT
    assert told["00001"].values == pytest.approx([0.95 - 0.8 * 0.2, 3.2])
    assert told["00005"].user_attrs["feasible"] is False


@pytest.mark.parametrize(
    ("name", "times"), [("00001", 1), ("00002", 2), ("00002", 3)], ids=["while stopping", "between", "while ending"]
)
def test_a_killed_study_ends_as_if_it_had_not_been(
    finished: tuple[Path, ConstrainedOptunaSearch, Screen], tmp_path: Path, name: str, times: int
) -> None:
    """Also where the report was on disk and its trial's end was not: the decision is not made again, nor lost."""
    with pytest.raises(Interrupted):
        run(tmp_path, StopAt(name, times))
    assert make_search(tmp_path).running_trials() == [name]
    search, _ = run(tmp_path, resume=True)
    assert_equal(tmp_path, search, finished[0], finished[1])


def assert_equal(
    root: Path, search: ConstrainedOptunaSearch, whole: Path, uninterrupted: ConstrainedOptunaSearch
) -> None:
    assert (root / "reports.csv").read_bytes() == (whole / "reports.csv").read_bytes()
    columns = ["trial_id", "state", "reason", "method", "seed"]
    assert read_table(root / "trials.csv")[columns].equals(read_table(whole / "trials.csv")[columns])
    for trial, other in zip(search.study.get_trials(), uninterrupted.study.get_trials(), strict=True):
        assert trial.values == other.values
        assert trial.user_attrs == other.user_attrs


def test_by_expected_improvement_the_same_holds(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted, _ = run(whole, make_scheduler=expected_improvement)
    told = {f"{trial.number:05d}": trial.user_attrs.get("stopped_at_rung") for trial in uninterrupted.study.trials}
    name = next(name for name, rung in told.items() if rung is not None)
    assert len(read_table(whole / "reports.csv").query(f"trial_id == '{name}'")) == told[name] + 1
    assert None in told.values(), "some trial runs to its end"
    with pytest.raises(Interrupted):
        run(killed, StopAt(name, told[name] + 1), make_scheduler=expected_improvement)
    search, _ = run(killed, resume=True, make_scheduler=expected_improvement)
    assert_equal(killed, search, whole, uninterrupted)
