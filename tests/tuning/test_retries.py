"""Trials whose processes die, through one real Ray Tune run that trains nothing: in each phase of a trial's life."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray
from optuna.trial import TrialState
from ray import tune
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import ActorDiedError, ActorUnavailableError
from searches import DEFAULTS, make_search

from trainable.depot import Depot
from tuning.callback import StudyCallback
from tuning.deadline import CutOff, Deadline, UntilDeadline
from tuning.files import StudyFiles
from tuning.judging import Goals
from tuning.record_tables import read_table
from tuning.records import Records
from tuning.resume_states import ResumeStates
from tuning.retries import Retries, machine_is_gone
from tuning.search_generator import StudySearchGenerator
from tuning.trials import NUM_RESUME_STATES

STEPS = (10, 20, 30)
MAX_FAILURES = 2
#: Trial → where its process dies, and how often.
DEATHS = {
    "00000": ("setup", 1),
    "00001": ("reset", 1),
    "00002": ("step 20", 2),
    "00003": ("save 20", 1),
    "00004": ("save 30", 9),
    "00005": ("step 20", 9),
    "00007": ("load", 1),
}
DIVERGES, HAS_NO_GPU, NUM_TRIALS = "00006", "00008", 10
GOALS = Goals(DEFAULTS["objectives"], DEFAULTS["constraints"], DEFAULTS["baseline"], DEFAULTS["ideal"])


def make_trainable(deaths: Path) -> type[tune.Trainable]:
    """A class made here, so that Ray pickles it by value; `deaths` takes a file for each death and each start."""
    table = dict(DEATHS)

    class Mortal(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.begin(config, "setup")

        def lack_a_gpu(self) -> None:
            Path(deaths, f"{self.name} {len(list(deaths.glob(f'{self.name} *')))}").touch()
            raise RuntimeError("TrialFailure[no gpu]: torch must find a GPU")

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.begin(config, "reset")
            return True

        def begin(self, config: dict[str, Any], phase: str) -> None:
            self.name, self.taken = config["trial_id"], 0
            self.perhaps_die(phase)
            if self.name == "00008":
                self.lack_a_gpu()

        def perhaps_die(self, phase: str) -> None:
            import os
            import signal

            # The one trial that dies when it is resumed must be interrupted before.
            due, times = table.get(self.name, ("", 0))
            if self.name == "00007" and phase == "step 20":
                due = phase
            seen = len(list(deaths.glob(f"{self.name} {phase} *")))
            if phase == due and seen < times:
                Path(deaths, f"{self.name} {phase} {seen}").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        def step(self) -> dict[str, Any]:
            self.taken += 10
            self.perhaps_die(f"step {self.taken}")
            if self.name == "00006" and self.taken == 20:
                Path(deaths, f"diverged {len(list(deaths.glob('diverged *')))}").touch()
                raise RuntimeError("TrialFailure[diverged]: the loss is not finite")
            measured = {"sscd": 0.5 - 0.01 * self.taken, "nll": 4.0 + 0.1 * int(self.name), "fid": 11.0}
            return {"step": self.taken, "rung": self.taken // 10 - 1, "done": self.taken == 30, **measured}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            self.perhaps_die(f"save {self.taken}")
            Path(checkpoint_dir, "taken").write_text(str(self.taken))
            Path(checkpoint_dir, f"reports-{self.taken // 10}").touch()

        def load_checkpoint(self, checkpoint: str) -> None:
            self.perhaps_die("load")
            self.taken = int(Path(checkpoint, "taken").read_text())

    return Mortal


class Study:
    """One run, as the trials stage makes it."""

    def __init__(self, root: Path) -> None:
        self.files, self.deaths, self.cut_off = StudyFiles(root), root / "deaths", CutOff()
        self.deaths.mkdir()
        self.search = make_search(root, num_trials=NUM_TRIALS, last_step=STEPS[-1])
        settings = {"metrics": ["sscd", "nll", "fid"], "constraints": GOALS.constraints, "baseline": GOALS.baseline}
        records = Records(self.files, parameters=["lambd"], **settings)
        generator = StudySearchGenerator(
            self.search,
            max_concurrent=1,
            checkpoint_of=ResumeStates(records, Depot(root), num_models=0),
            takes_up=Retries(MAX_FAILURES).takes_up,
        )
        callback = StudyCallback(records, GOALS, num_trials=NUM_TRIALS, outcome=self.search.outcome)
        tune.Tuner(
            make_trainable(self.deaths),
            tune_config=tune.TuneConfig(
                search_alg=generator,
                scheduler=UntilDeadline(Deadline(None)),
                num_samples=NUM_TRIALS,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="ray",
                storage_path=str(root),
                verbose=0,
                callbacks=[callback, self.cut_off],
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=NUM_RESUME_STATES),
            ),
        ).fit()
        records.finalize()

    @property
    def num_deaths(self) -> Counter[str]:
        return Counter(path.name.partition(" ")[0] for path in self.deaths.iterdir())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield Study(tmp_path_factory.mktemp("mortal"))
    ray.shutdown()


def test_each_trial_has_one_end_and_every_report_once(study: Study) -> None:
    trials = read_table(study.files.trials).set_index("trial_id")
    assert list(trials.index) == [f"{number:05d}" for number in range(NUM_TRIALS)]
    failed = {"00005": "error", DIVERGES: "diverged", HAS_NO_GPU: "no gpu"}
    assert trials.loc[trials["state"] == "FAIL", "reason"].to_dict() == failed
    assert set(trials["state"]) == {"COMPLETE", "FAIL"}
    steps = read_table(study.files.reports).groupby("trial_id")["step"].apply(list)
    expected = {name: [10] if name in failed else list(STEPS) for name in trials.index if name != HAS_NO_GPU}
    assert steps.to_dict() == expected
    told = study.search.study.get_trials()
    assert [trial.number for trial in told] == list(range(NUM_TRIALS))
    assert {f"{t.number:05d}" for t in told if t.state == TrialState.FAIL} == set(failed)
    assert all(trial.state.is_finished() for trial in told)
    assert study.cut_off.names == set()


def test_a_trial_keeps_its_directory_and_its_two_last_states(study: Study) -> None:
    """The states of all its starts stand in one row, so that the newest is the last by name."""
    names = [f"{number:05d}" for number in range(NUM_TRIALS)]
    assert sorted(path.name for path in study.files.ray.iterdir() if path.is_dir()) == names
    for name in ("00002", "00003", "00007"):
        states = sorted(path.name for path in (study.files.ray / name).glob("checkpoint_*"))
        assert states[-2:] == ["checkpoint_000001", "checkpoint_000002"], name


def test_crashes_are_survived_up_to_the_bound_and_outcomes_are_final(study: Study) -> None:
    assert study.num_deaths == {
        "00000": 1,
        "00001": 1,
        "00002": MAX_FAILURES,
        "00003": 1,
        "00004": 1,  # while saving after its last report: there was nothing left to do
        "00005": MAX_FAILURES + 1,
        "00007": 2,
        HAS_NO_GPU: MAX_FAILURES + 1,  # another machine may have one
        "diverged": 1,
    }


def died(message: str, preempted: bool = False) -> ActorDiedError:
    """As Ray makes the error of an actor that its system tells to be dead."""
    context = ActorDiedErrorContext(error_message=message, class_name="Trial", actor_id=bytes(16))
    if preempted:
        context.node_death_info.reason = NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED
    return ActorDiedError(context)


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (died("The actor died because its node has died. Node Id: 5f", preempted=True), True),
        (died("The actor died because its node has died. Node Id: 5f"), True),
        (ActorUnavailableError("RpcError: Socket closed", None), True),
        (died("The actor is dead because its worker process has died."), False),
        (RuntimeError("The actor: its node has died"), False),
        (RuntimeError("5f is unavailable: its node has died"), False),
    ],
)
def test_a_lost_machine_is_told_from_a_crash(error: Exception, gone: bool) -> None:
    assert machine_is_gone(str(error)) is gone
    assert machine_is_gone(f"1 (occurred at 2026-01-31_12-00-00)\n{error}\n") is gone
