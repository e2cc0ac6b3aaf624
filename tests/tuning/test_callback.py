"""Through real Ray Tune runs on this machine, with trainables that compute nothing."""

import pickle
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import ray
from made_records import records_of
from ray import tune

from analysis.front import pareto_front
from trainable.failure import REASONS, TrialFailure, failure_reason
from tuning.callback import StudyCallback, report_of
from tuning.goals import Constraint, Objective
from tuning.judging import Goals
from tuning.live_front import live_front, trial_ranks
from tuning.outcome import TIME_BUDGET, Outcome
from tuning.record_tables import read_table
from tuning.records import Records, TrialState
from tuning.tracking import EXPERIMENT, Tracker

GOALS = Goals(
    (Objective("sscd", "minimize"), Objective("nll", "maximize")),
    (Constraint("fid", "<=", 1.2, relative=True),),
    baseline={"sscd": 1.0, "nll": 2.0, "fid": 10.0},
    ideal={"sscd": 0.0, "nll": 6.0},
)


class Pretend(tune.Trainable):
    """Reports three times; one method diverges after its first report, another goes on for ever."""

    def setup(self, config: dict[str, Any]) -> None:
        self.method = config["method"]

    def step(self) -> dict[str, Any]:
        if self.method == "diverging" and self.iteration == 1:
            raise TrialFailure("diverged", "the loss is nan at step 20")
        if self.method == "endless":
            time.sleep(0.1)
        step = 10 * (self.iteration + 1)
        values = {"sscd": 1.0 - step / 100, "nll": 2.0 + step / 25, "fid": 10.0 + step / 10}
        done = step == 30 and self.method != "endless"
        news = ["4 rows a network call"] if self.method == "neggrad" and step == 20 else []
        return {"step": step, "rung": self.iteration, **values, "training_seconds": 0.5, "news": news, "done": done}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "state").write_text("")

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        pass


class Screen:
    """A view that remembers."""

    def __init__(self) -> None:
        self.counts: list[tuple[int, int, int, int]] = []
        self.shares: list[float] = []
        self.fronts: list[tuple[int, float]] = []
        self.messages: list[str] = []

    def trials(self, running: int, done: int, failed: int, total: int, *, under_way: float = 0.0) -> None:
        self.counts.append((running, done, failed, total))
        self.shares.append((done + failed + under_way) / total)

    def front(self, rows: Any, hypervolume: float) -> None:
        self.fronts.append((len(rows), hypervolume))

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    here = Path(__file__).parent
    paths = {"env_vars": {"PYTHONPATH": f"{here.parents[1]}:{here}"}}  # workers import this module and the project
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=paths)
    yield
    ray.shutdown()


make_records = partial(records_of, goals=GOALS)


def make_tuner(root: Path, callback: StudyCallback, methods: list[str], seconds: float | None = None) -> tune.Tuner:
    ids = {method: f"{number:05d}" for number, method in enumerate(methods)}
    space = {
        "method": tune.grid_search(methods),
        "trial_id": tune.sample_from(lambda config: ids[config["method"]]),
        "lambd": 0.5,
        "seed": 7,
        "repeat": 0,
        "forget_image": "a.png",
    }
    return tune.Tuner(
        Pretend,
        param_space=space,
        tune_config=tune.TuneConfig(time_budget_s=seconds),
        run_config=tune.RunConfig(name="ray", storage_path=str(root), callbacks=[callback], verbose=0),
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Screen, Records]:
    """One finished study of two trials that end well and one that diverges, told to a real MLflow store."""
    root, screen = tmp_path_factory.mktemp("runs") / "pretend", Screen()
    records = make_records(root)
    tracker = Tracker(records.files, study="pretend", workload="none", parameters=["lambd"])
    callback = StudyCallback(records, GOALS, num_trials=3, reports_per_trial=3, tracker=tracker, view=screen)
    results = make_tuner(root, callback, ["siss", "diverging", "neggrad"]).fit()
    assert [type(error) for error in results.errors] == [str], "its text alone: no pickle was read"
    assert tracker.close(60)
    records.finalize(tracker.run_ids)
    return root, screen, records


def test_every_report_is_in_the_records(study: tuple[Path, Screen, Records]) -> None:
    reports = read_table(study[0] / "reports.csv")
    assert list(zip(reports["trial_id"], reports["step"], strict=True)) == [
        ("00000", 10), ("00000", 20), ("00000", 30), ("00001", 10), ("00002", 10), ("00002", 20), ("00002", 30),
    ]  # fmt: skip
    assert reports["feasible"].tolist() == [True, True, False, True, True, True, False]
    assert set(reports["seed"]) == {7}
    assert set(reports["forget_image"]) == {"a.png"}


def test_the_view_is_as_far_as_the_reports_are(study: tuple[Path, Screen, Records]) -> None:
    """Of three reports a trial; one that fails after the first counts whole."""
    shares = study[1].shares
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len({round(9 * share) for share in shares}) >= 7
    assert all(9 * share == pytest.approx(round(9 * share)) for share in shares)


def test_every_trial_is_in_the_records_with_its_reason(study: tuple[Path, Screen, Records]) -> None:
    trials = read_table(study[0] / "trials.csv").set_index("trial_id")
    assert trials["state"].to_dict() == {"00000": "COMPLETE", "00001": "FAIL", "00002": "COMPLETE"}
    assert trials["reason"].to_dict() == {"00000": "", "00001": "diverged", "00002": ""}
    assert (trials["seconds"] >= 0).all()
    assert trials["mlflow_run_id"].str.fullmatch("[0-9a-f]{32}").all()


def test_mlflow_has_the_same_trials_under_the_same_names(study: tuple[Path, Screen, Records]) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{study[0].parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = {run.data.tags.get("trial_id", ""): run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"", "00000", "00001", "00002"}
    assert runs["00001"].info.status == "FAILED"
    assert runs["00001"].data.tags["reason"] == "diverged"
    assert runs["00001"].data.tags["detail"].endswith("TrialFailure[diverged]: the loss is nan at step 20")
    assert {"sscd", "training_seconds", "feasible", "violation"} <= set(runs["00000"].data.metrics)
    assert not {"time_total_s", "pid", "timestamp", "lambd", "training_iteration"} & set(runs["00000"].data.metrics)
    steps = [point.step for point in client.get_metric_history(runs[""].info.run_id, "hypervolume")]
    assert steps == [1, 2, 3]


def test_the_view_sees_counts_fronts_and_failures(study: tuple[Path, Screen, Records]) -> None:
    _, screen, records = study
    assert screen.counts[-1] == (0, 2, 1, 3)
    assert max(count[0] for count in screen.counts) >= 1
    assert len(screen.fronts) == 7
    values = [hypervolume for _, hypervolume in screen.fronts]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(0.2 * 0.2), "step 20 is the best that is feasible: a fifth of both ways"
    assert sorted(screen.messages) == ["trial 00001 failed: diverged", "trial 00002: 4 rows a network call"]
    assert trial_ranks(records.reports_frame(), GOALS)["step"].tolist() == [20, 10, 20]


def test_what_the_end_of_a_study_cuts_off_is_stopped(tmp_path: Path) -> None:
    records = make_records(tmp_path / "cut")
    callback = StudyCallback(records, GOALS, num_trials=1)
    make_tuner(tmp_path / "cut", callback, ["endless"], seconds=5).fit()
    trials = read_table(tmp_path / "cut" / "trials.csv")
    assert trials[["trial_id", "state", "reason"]].to_numpy().tolist() == [["00000", "STOPPED", "study ended"]]


class FakeTrial:
    """As much of a Ray trial as the callback reads."""

    trial_id = "a40db_00000"
    error_file = None

    def __init__(self, **config: Any) -> None:
        self.config = {"trial_id": "00000", "method": "siss", **config}
        self.last_result = {"time_total_s": 2.0}


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (Outcome(None, reason="objective not finite"), "FAIL", "objective not finite"),
        (Outcome({}, stopped_at_rung=1), "COMPLETE", "stopped at rung 1"),
        (Outcome({}, stopped_at_rung=1, stopped_by=TIME_BUDGET), "COMPLETE", TIME_BUDGET),
        (Outcome({}), "COMPLETE", ""),
        (None, "COMPLETE", ""),
    ],
)
def test_the_searcher_has_the_last_word_on_an_outcome(
    tmp_path: Path, outcome: Outcome | None, state: str, reason: str
) -> None:
    records = make_records(tmp_path)
    callback = StudyCallback(records, GOALS, num_trials=1, outcome=lambda trial_id: outcome)
    callback.on_trial_start(0, [], FakeTrial())
    callback.on_trial_complete(0, [], FakeTrial())
    assert records.trials_frame().loc[0, ["state", "reason", "seconds"]].tolist() == [state, reason, 2.0]


def test_a_pickled_callback_holds_a_name_only(tmp_path: Path) -> None:
    callback = StudyCallback(make_records(tmp_path / "secret"), GOALS, num_trials=1)
    data = pickle.dumps(callback)
    assert len(data) < 200
    assert pickle.loads(data) is callback
    del callback
    orphan = pickle.loads(data)
    assert type(orphan) is tune.Callback


def test_the_front_of_means_is_not_made_at_each_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes through all reports; only the last one must be the front of all."""
    records, screen, made = make_records(tmp_path), Screen(), []

    def counted(*tables: Any) -> Any:
        made.append(len(tables[0]))
        return live_front(*tables)

    monkeypatch.setattr("tuning.callback.live_front", counted)
    callback = StudyCallback(records, GOALS, num_trials=1, view=screen)
    for number in range(20):
        trial = FakeTrial(trial_id=f"{number:05d}", lambd=0.5, repeat=number, seed=number)
        callback.on_trial_start(0, [], trial)
        values = {"sscd": 0.5, "nll": 3.0, "fid": 10.0}
        callback.on_trial_result(0, [], trial, {"step": 10, "rung": 0, **values})
        callback.on_trial_complete(0, [], trial)
    callback.on_experiment_end([])
    assert made[0] == 2, "from the first repeat on"
    assert made[-1] == 20
    assert len(made) < 12
    assert screen.fronts[-1] == (1, pytest.approx(0.5 * 0.25))
    del callback


def test_a_report_is_what_the_trainable_said_under_the_studys_own_id() -> None:
    result = {"trial_id": "a40db_00000", "step": 10, "sscd": 0.5, "pid": 1, "config": {}, "done": True, "date": "now"}
    report = report_of(FakeTrial(lambd=0.5), result)
    assert report == {"trial_id": "00000", "method": "siss", "lambd": 0.5, "step": 10, "sscd": 0.5}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_survives_pickling_and_tracebacks(reason: Any) -> None:
    failure = pickle.loads(pickle.dumps(TrialFailure(reason, "why")))
    assert (failure.reason, failure.detail, str(failure)) == (reason, "why", f"TrialFailure[{reason}]: why")
    assert failure_reason(f"Traceback\n  raise TrialFailure(...)\ntrainable.failure.{failure}\n") == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "out of memory"),
        ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory", "out of memory"),
        ("ValueError: no room in ZOOM", "error"),
        ("TrialFailure[made up]: x", "error"),
        ("", "error"),
    ],
)
def test_reasons_of_other_errors(text: str, reason: str) -> None:
    assert failure_reason(text) == reason


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of diverged"):
        TrialFailure("tired")  # type: ignore[arg-type]


def test_ranks_of_nothing_are_empty(tmp_path: Path) -> None:
    reports = make_records(tmp_path).reports_frame()
    assert trial_ranks(reports, GOALS).empty


def test_ranks_agree_with_the_front_on_random_reports(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = make_records(tmp_path)
    for number in range(40):
        values = dict(zip(("sscd", "nll", "fid"), rng.random(3) * [1, 4, 20], strict=True))
        report = {"trial_id": f"{number // 4:05d}", "method": "siss", "step": number % 4, "rung": 0, **values}
        records.add_report({**report, "candidate": number % 5 > 0})
    reports = records.reports_frame()
    candidates, ranks = reports[reports["candidate"]], trial_ranks(reports, GOALS)
    front = pareto_front(candidates, GOALS.objectives, GOALS.constraints, GOALS.baseline)
    assert set(ranks.loc[ranks["pareto_rank"] == 0, "trial_id"]) == set(front["trial_id"])
    assert len(ranks) == 10
    pd.testing.assert_series_equal(ranks["feasible"], ranks["violation"] == 0, check_names=False)


def test_fronts_and_ranks_of_repeated_settings_are_those_of_their_means(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    made = {  # trial → setting, repeat, sscd, nll, fid
        "00000": (0.1, 0, 0.2, 5.0, 10.0), "00001": (0.2, 0, 0.3, 5.0, 10.0), "00002": (0.3, 0, 0.4, 4.0, 10.0),
        "00003": (0.1, 1, 0.6, 5.0, 10.0), "00004": (0.2, 1, 0.3, 5.0, 13.0), "00005": (0.3, 1, 0.4, 4.0, 30.0),
    }  # fmt: skip
    for name, (lambd, repeat, sscd, nll, fid) in made.items():
        config = {"method": "siss", "lambd": lambd, "seed": int(name), "repeat": repeat}
        report = {"step": 10, "rung": 0, "sscd": sscd, "nll": nll, "fid": fid}
        records.start_trial(name, config)
        records.add_report({"trial_id": name, **config, **report})
    front = live_front(records.reports_frame(), GOALS, records.trials_frame())
    # The mean of the first is behind; that of the second keeps the bound, that of the third does not.
    assert front.members[["trial_id", "sscd", "num_repeats"]].values.tolist() == [["00001", 0.3, 2]]
    assert front.hypervolume == pytest.approx(0.7 * 0.75)
    ranks = trial_ranks(records.reports_frame(), GOALS, records.trials_frame()).set_index("trial_id")
    assert ranks["pareto_rank"].to_dict() == dict(zip(made, [1, 0, 2, 1, 0, 2], strict=True))
    assert ranks["feasible"].tolist() == [True, True, False] * 2
    records.end_trial("00006", {"method": "siss", "lambd": 0.2, "seed": 6}, TrialState.FAIL, "diverged")
    front = live_front(records.reports_frame(), GOALS, records.trials_frame())
    assert front.members["trial_id"].tolist() == ["00000"]
    assert "00001" not in set(trial_ranks(records.reports_frame(), GOALS, records.trials_frame())["trial_id"])
