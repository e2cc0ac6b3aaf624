"""The search through a real Ray Tune run that trains nothing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import ray
from optuna.trial import TrialState
from ray import tune
from ray.tune import Checkpoint
from searches import make_search

from tuning.search_generator import StudySearchGenerator

NUM_TRIALS, LAST_STEP = 8, 20
SAVING = tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=1)


def make_trainable() -> type[tune.Trainable]:
    """A class made here, so that Ray pickles it by value: workers cannot import this module.

    Trial 00002 fails as diverged, and 00004 ends in NaN.
    """

    class Synthetic(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.taken = 0
            return True

        def step(self) -> dict[str, Any]:
            self.taken += 10
            name = self.config["trial_id"]
            if name == "00002" and self.taken == 20:
                raise RuntimeError("TrialFailure[diverged]: the loss is not finite")
            nll = float("nan") if name == "00004" else 4.0 + 0.1 * int(name)
            measured = {"sscd": 0.5 - 0.01 * self.taken, "nll": nll, "fid": 11.0}
            return {"step": self.taken, "rung": self.taken // 10 - 1, "done": self.taken == LAST_STEP, **measured}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            Path(checkpoint_dir, "taken").write_text(str(self.taken))

        def load_checkpoint(self, checkpoint: str) -> None:
            self.taken = int(Path(checkpoint, "taken").read_text())

    return Synthetic


@pytest.fixture(scope="module")
def cluster() -> Any:
    """Room enough for the actors that interrupted runs leave behind, as no process dies here."""
    ray.init(address="local", num_cpus=6, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def make_tuner(generator: StudySearchGenerator, root: Path, callbacks: list[tune.Callback]) -> tune.Tuner:
    return tune.Tuner(
        make_trainable(),
        tune_config=tune.TuneConfig(search_alg=generator, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="ray", storage_path=str(root), verbose=0, callbacks=callbacks, checkpoint_config=SAVING
        ),
    )


class Interrupted(BaseException):
    """What Ray cleans up after no more than after a kill."""


class StopAt(tune.Callback):  # type: ignore[misc]
    """Ends the run without a farewell when a trial is first saved."""

    def __init__(self, name: str, marker: Path) -> None:
        self.name, self.marker = name, marker

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.trial_id == self.name and not self.marker.exists():
            self.marker.touch()
            raise Interrupted


@pytest.mark.slow
def test_ray_trials_bear_the_optuna_number(cluster: Any, tmp_path: Path) -> None:
    search = make_search(tmp_path, num_trials=NUM_TRIALS, last_step=LAST_STEP)
    results = make_tuner(StudySearchGenerator(search, max_concurrent=2), tmp_path, []).fit()

    told = {f"{trial.number:05d}": trial for trial in search.study.trials}
    assert sorted(told) == [f"{number:05d}" for number in range(NUM_TRIALS)]
    configs = {result.path.rsplit("/", 1)[1].split("_")[1]: result.config for result in results}
    assert sorted(configs) == sorted(told)
    assert all(name == config["trial_id"] for name, config in configs.items())
    assert {name: config["method"] for name, config in configs.items()} == {
        name: trial.user_attrs["method"] for name, trial in told.items()
    }
    failed = {name: trial.user_attrs["reason"] for name, trial in told.items() if trial.state == TrialState.FAIL}
    assert failed == {"00002": "diverged", "00004": "objective not finite"}
    completed = [trial for trial in told.values() if trial.state == TrialState.COMPLETE]
    assert len(completed) == NUM_TRIALS - 2
    for trial in completed:
        # The last report reaches a searcher only with the trial's completion; it must be the one that counts.
        assert trial.user_attrs["step"] == LAST_STEP
        assert trial.values == pytest.approx([0.3, 4.0 + 0.1 * trial.number])
        assert "stopped_at_rung" not in trial.user_attrs


@pytest.mark.slow
def test_an_interrupted_study_goes_on(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", raising=False)  # of a study in this process before
    first = make_search(tmp_path, num_trials=NUM_TRIALS)
    generator = StudySearchGenerator(first, max_concurrent=1)
    with pytest.raises(Interrupted):
        make_tuner(generator, tmp_path / "first", [StopAt("00005", tmp_path / "marker")]).fit()
    assert first.running_trials() == ["00005"]

    second = make_search(tmp_path, num_trials=NUM_TRIALS)
    second.reconcile({}, again=second.running_trials())
    (checkpoint,) = (tmp_path / "first" / "ray").glob("*_00005_*/checkpoint_*")
    known = {"00005": Checkpoint(str(checkpoint))}
    generator = StudySearchGenerator(second, max_concurrent=1, checkpoint_of=known.get)
    results = make_tuner(generator, tmp_path / "second", []).fit()
    (resumed,) = (result for result in results if result.config["trial_id"] == "00005")
    assert list(resumed.metrics_dataframe["step"]) == [20], "it goes on from its checkpoint"

    trials = second.study.get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(NUM_TRIALS))
    failed = {trial.number: trial.user_attrs["reason"] for trial in trials if trial.state == TrialState.FAIL}
    assert failed == {2: "diverged", 4: "objective not finite"}
    assert sum(trial.state == TrialState.COMPLETE for trial in trials) == NUM_TRIALS - 2
    uninterrupted = make_search(tmp_path / "whole", num_trials=NUM_TRIALS)
    suggested = [uninterrupted.suggest("any") for _ in range(NUM_TRIALS)]
    assert [json.loads(trial.user_attrs["config"]) for trial in trials] == suggested


def test_unpickling_without_a_live_search_says_what_to_do(tmp_path: Path) -> None:
    search = make_search(tmp_path, study_name="gone")
    pickled = pickle.dumps(StudySearchGenerator(search))
    with pytest.raises(RuntimeError, match="make its StudySearchGenerator first"):
        pickle.loads(pickled)
