"""Against a real sqlite store; one database serves all tests, since creating one takes seconds."""

import logging
import math
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tuning.files import StudyFiles
from tuning.records import TrialState
from tuning.tracking import EXPERIMENT, Tracker
from tuning.tracking.spool import Spool
from tuning.tracking.write import NOTE, STUDY_RUN, Dataset, Model, Write

PARAMETERS = ("lambd", "scaling_norm")
CONFIG = {"trial_id": "00000", "method": "siss", "lambd": 0.5, "scaling_norm": 10.0, "seed": 3, "repeat": 0}
NOWHERE = "http://127.0.0.1:9"
#: Tables that are the same, row by row, when everything is told again.
UNCHANGED = (
    "params", "tags", "metrics", "experiments", "datasets", "inputs", "input_tags", "logged_models",
    "logged_model_tags", "logged_model_params", "logged_model_metrics",
)  # fmt: skip


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def client(storage: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")


def make_tracker(storage: Path, study: str, uri: str | None = None) -> Tracker:
    return Tracker(
        StudyFiles(storage / study), study=study, workload="unconditional", parameters=PARAMETERS, tracking_uri=uri
    )


def make_report(step: int, **more: float) -> dict[str, Any]:
    numbers = {"sscd": 0.5, "sscd_stderr": 0.1, "nll": 4.0, "training_seconds": 1.5, "peak_memory_gb": 0.7}
    verdict = {"feasible": True, "violation": 0.0, "candidate": True}
    return {**CONFIG, "step": step, "rung": 1, "forget_image": "tshirt.png", **numbers, **verdict, **more}


def tell_everything(tracker: Tracker, pictures: Path) -> None:
    picture, report = pictures / "front.png", pictures / "report.html"
    picture.write_bytes(b"png")
    report.write_text("<html>")
    tracker.start_study(
        {"num_trials": 2, "methods": ["siss"], "time_budget": None},
        datasets=[Dataset("digits.npz", "d" * 32, '{"uri": "/data/digits.npz"}', '{"num_bytes": 7}', "retain")],
        note="It runs.",
    )
    tracker.log_baseline({"sscd": 0.9, "nll": 3.2})
    for trial_id in ("00000", "00001"):
        tracker.start_trial(trial_id, {**CONFIG, "trial_id": trial_id})
    for step in (10, 20):
        tracker.log_report("00000", make_report(step))
    tracker.log_image("00000", "samples", picture)
    tracker.end_trial("00000", TrialState.COMPLETE)
    tracker.log_hypervolume(1, 0.25)
    tracker.end_trial("00001", TrialState.FAIL, "diverged", "the loss is nan at step 3")
    tracker.log_hypervolume(2, 0.25)
    front = pd.DataFrame([{"trial_id": "00000", "step": 20, "sscd": 0.5}])
    ranks = pd.DataFrame([{"trial_id": "00000", "step": 20, "pareto_rank": 0, "feasible": True, "violation": 0.0}])
    notes = {"00000": "a member"}
    tracker.log_front(front, ranks, picture, report, recommended="00000", notes=notes)
    tracker.log_models([make_model(pictures)])
    tracker.log_files([report], "study", "Run {run_id} of {experiment_id}.")
    tracker.finish_study(TrialState.COMPLETE)


def make_model(root: Path, step: int = 20, **changes: Any) -> Model:
    folder = root / "checkpoints" / f"00000-{step}"
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "weights.safetensors").write_bytes(b"weights")
    values: dict[str, Any] = {
        "name": f"told-00000-{step}", "tags": {"method": "siss", "recommended": "true"}, "params": {"lambd": "0.5"},
        "metrics": {"front_sscd": 0.25, "front_fid": 9.0}, "card": "# A card", "note": "a card",
        "folder": str(folder), "time_ms": 5,
    }  # fmt: skip
    return Model("00000", step, **{**values, **changes})


def models_of(client: Any, study: str) -> list[Any]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return list(client.search_logged_models([experiment.experiment_id], f"tags.study = '{study}'"))


def runs_of(client: Any, study: str) -> dict[str, Any]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], f"tags.study = '{study}'")
    by_trial = {run.data.tags.get("trial_id", ""): run for run in runs}
    assert len(by_trial) == len(runs), "a trial has two runs"
    return by_trial


def dump(storage: Path) -> list[tuple[Any, ...]]:
    """Every row of every table that a run writes to."""
    with sqlite3.connect(storage / "mlflow.db") as database:
        return [
            (table, *row)
            for table in (*UNCHANGED, "runs")
            for row in sorted(database.execute(f"SELECT * FROM {table}").fetchall(), key=str)
        ]


@pytest.fixture(scope="module")
def told(storage: Path) -> Path:
    """A storage path with one study that was told, closed, and told again in full by a second tracker."""
    for repetition in range(2):
        tracker = make_tracker(storage, "told")
        tell_everything(tracker, storage / "told")
        assert tracker.close(60)
        assert set(tracker.run_ids) == {"00000", "00001"}
        rows = dump(storage)
        if repetition == 0:
            first = rows
    assert {row[0] for row in first} == {*UNCHANGED, "runs"}
    # The end time of a run that is told anew may move.
    assert [row for row in rows if row[0] in UNCHANGED] == [row for row in first if row[0] in UNCHANGED]
    return storage


def test_there_is_one_study_run_with_a_child_per_trial(told: Path, client: Any) -> None:
    runs = runs_of(client, "told")
    assert set(runs) == {"", "00000", "00001"}
    parent = runs[""]
    for trial_id in ("00000", "00001"):
        tags = runs[trial_id].data.tags
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert (tags["study"], tags["trial_id"], tags["method"], tags["workload"]) == (
            "told", trial_id, "siss", "unconditional",
        )  # fmt: skip
        assert tags["mlflow.runName"] == f"{trial_id} siss"
    assert [runs[key].info.status for key in ("", "00000", "00001")] == ["FINISHED", "FINISHED", "FAILED"]
    assert runs["00001"].data.tags["reason"] == "diverged"


def test_params_and_metrics_are_told_once(told: Path, client: Any) -> None:
    run = runs_of(client, "told")["00000"]
    assert run.data.params == {"method": "siss", "lambd": "0.5", "scaling_norm": "10.0", "seed": "3", "repeat": "0"}
    history = client.get_metric_history(run.info.run_id, "sscd")
    assert [(point.step, point.value) for point in history] == [(10, 0.5), (20, 0.5)]
    assert {"training_seconds", "peak_memory_gb", "violation", "rung", "sscd_stderr"} <= set(run.data.metrics)
    assert run.data.metrics["feasible"] == 1.0
    assert not {"lambd", "seed", "step", "repeat"} & set(run.data.metrics)
    assert (run.data.metrics["pareto_rank"], run.data.metrics["best_step"]) == (0.0, 20.0)
    assert (run.data.tags["pareto"], run.data.tags["recommended"]) == ("true", "true")


def test_the_study_run_has_baseline_hypervolume_and_front(told: Path, client: Any) -> None:
    run = runs_of(client, "told")[""]
    assert run.data.metrics["untouched_sscd"] == 0.9
    hypervolume = client.get_metric_history(run.info.run_id, "hypervolume")
    assert [(point.step, point.value) for point in hypervolume] == [(1, 0.25), (2, 0.25)]
    assert "time_budget" not in run.data.params
    files = {file.path for file in client.list_artifacts(run.info.run_id, "front")}
    assert files == {"front/front.csv", "front/front.png", "front/report.html"}
    assert (told / "mlartifacts").is_dir()


def test_runs_can_be_told_apart_by_their_tags(told: Path, client: Any) -> None:
    runs = runs_of(client, "told")
    assert [runs[key].data.tags["kind"] for key in ("", "00000", "00001")] == ["study", "trial", "trial"]
    assert [runs[key].data.tags["state"] for key in ("", "00000", "00001")] == ["COMPLETE", "COMPLETE", "FAIL"]


def test_a_run_s_description_names_the_run(told: Path, client: Any) -> None:
    runs = runs_of(client, "told")
    run = runs[""].info
    assert runs[""].data.tags[NOTE] == f"Run {run.run_id} of {run.experiment_id}."
    assert runs["00000"].data.tags[NOTE] == "a member"
    assert NOTE not in runs["00001"].data.tags
    assert [file.path for file in client.list_artifacts(run.run_id, "study")] == ["study/report.html"]


def test_what_a_study_read_is_its_input(told: Path, client: Any) -> None:
    run = client.get_run(runs_of(client, "told")[""].info.run_id)
    [found] = run.inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("digits.npz", "d" * 32)
    assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": "retain"}


def test_a_member_of_the_front_is_one_model_with_its_files_and_values(told: Path, client: Any) -> None:
    run = runs_of(client, "told")["00000"]
    [model] = models_of(client, "told")
    assert (str(model.status), model.name, model.source_run_id) == ("READY", "told-00000-20", run.info.run_id)
    assert model.params == {"lambd": "0.5"}
    assert (model.tags["pareto"], model.tags["recommended"], model.tags["step"]) == ("true", "true", "20")
    assert {metric.key: (metric.value, metric.step) for metric in model.metrics} == {
        "front_sscd": (0.25, 20), "front_fid": (9.0, 20),
    }  # fmt: skip
    assert run.data.metrics["front_sscd"] == 0.25
    names = {file.path for file in client.list_logged_model_artifacts(model.model_id)}
    assert names == {"README.md", "model_index.json", "unet"}
    assert [output.model_id for output in client.get_run(run.info.run_id).outputs.model_outputs] == [model.model_id]


def test_a_front_that_changes_keeps_its_models_and_says_which_are_members(told: Path, client: Any) -> None:
    """As after a resume with more trials; one was cut off while its files were sent."""
    root, tracker = told / "changing", make_tracker(told, "changing")
    tracker.start_trial("00000", CONFIG)
    tracker.log_models([make_model(root, 10), make_model(root, 20)])
    assert tracker.close(60)
    before = {model.tags["step"]: model for model in models_of(client, "changing")}
    client.finalize_logged_model(before["20"].model_id, "FAILED")
    client.set_logged_model_tags(before["20"].model_id, {NOTE: "mine"})
    (root / "checkpoints" / "00000-20" / "new.json").write_text("{}")
    changes = {"metrics": {"front_sscd": 0.125}, "tags": {"recommended": "false"}, "card": "# Another", "time_ms": 6}
    again = make_model(root, 20, **changes)
    tracker = make_tracker(told, "changing")
    tracker.log_models([again, make_model(root, 30, folder=None)])
    assert tracker.close(60)
    after = {model.tags["step"]: model for model in models_of(client, "changing")}
    assert {step: model.tags["pareto"] for step, model in after.items()} == {"10": "false", "20": "true", "30": "true"}
    assert after["20"].model_id == before["20"].model_id
    assert str(after["20"].status) == "READY"
    assert (after["20"].tags["recommended"], after["20"].tags[NOTE]) == ("false", "mine")
    assert after["10"].tags[NOTE] == "a card"
    assert {metric.value for metric in after["20"].metrics if metric.key == "front_sscd"} >= {0.125}
    assert "new.json" in {file.path for file in client.list_logged_model_artifacts(after["20"].model_id)}
    assert [f.path for f in client.list_logged_model_artifacts(after["30"].model_id)] == ["README.md"]
    tracker = make_tracker(told, "changing")
    tracker.log_models([])
    assert tracker.close(60)
    assert {model.tags["pareto"] for model in models_of(client, "changing")} == {"false"}


def test_a_description_that_somebody_wrote_stays(told: Path, client: Any) -> None:
    for note in ("first", "second", "third"):
        tracker = make_tracker(told, "noted")
        tracker.start_study({}, note=note)
        assert tracker.close(60)
        run = runs_of(client, "noted")[""]
        if note == "second":
            assert run.data.tags[NOTE] == "second"
            client.set_tag(run.info.run_id, NOTE, "mine")
    assert run.data.tags[NOTE] == "mine"


def test_a_server_that_knows_no_models_and_no_data_sets_is_told_the_rest(
    told: Path, client: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND
    from mlflow.tracking import MlflowClient

    def unknown(*_: Any, **__: Any) -> None:
        raise MlflowException("no such page", ENDPOINT_NOT_FOUND)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(MlflowClient, "search_logged_models", unknown)
        patch.setattr(MlflowClient, "log_inputs", unknown)
        (told / "older").mkdir()
        tracker = make_tracker(told, "older")
        tell_everything(tracker, told / "older")
        assert tracker.close(60)
    assert caplog.text.count("too old for") == 2
    run = runs_of(client, "older")["00000"]
    assert (run.data.metrics["front_sscd"], run.data.tags["pareto"]) == (0.25, "true")
    assert runs_of(client, "older")[""].info.status == "FINISHED"
    assert not models_of(client, "older")


def test_a_rank_that_changes_replaces_the_old_one(told: Path, client: Any) -> None:
    tracker = make_tracker(told, "told")
    ranks = pd.DataFrame([{"trial_id": "00000", "step": 20, "pareto_rank": 3, "feasible": True, "violation": 0.0}])
    tracker.log_front(pd.DataFrame({"trial_id": []}), ranks)
    assert tracker.close(60)
    run = runs_of(client, "told")["00000"]
    assert (run.data.metrics["pareto_rank"], run.data.tags["pareto"]) == (3.0, "false")
    assert (run.data.tags["recommended"], run.data.tags[NOTE]) == ("false", "")


def test_a_new_study_of_an_old_name_has_its_own_runs(told: Path, client: Any, tmp_path: Path) -> None:
    uri = f"sqlite:///{told / 'mlflow.db'}"
    ids = []
    for storage in (tmp_path / "a", tmp_path / "b"):
        tracker = make_tracker(storage, "twice", uri)
        tracker.start_trial("00000", CONFIG)
        assert tracker.close(60)
        ids.append(tracker.run_ids["00000"])
    assert ids[0] != ids[1]
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert len(client.search_runs([experiment.experiment_id], "tags.study = 'twice'")) == 4


def test_a_store_that_is_away_delays_nothing_and_is_told_later(
    told: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begin = time.monotonic()
    with caplog.at_level(logging.WARNING):
        tracker = make_tracker(told, "away", NOWHERE)
        tracker.start_trial("00000", CONFIG)
        for step in range(10, 100, 10):
            tracker.log_report("00000", make_report(step))
        tracker.end_trial("00000", TrialState.COMPLETE)
        assert time.monotonic() - begin < 1.0
        assert not tracker.flush(2.0)
        assert not tracker.close(20.0)
    assert caplog.text.count("MLflow cannot be written") == 1
    spool = told / "away" / "mlflow_spool.jsonl"
    assert len(spool.read_text().splitlines()) == 11

    tracker = make_tracker(told, "away")
    assert tracker.flush(60)
    assert tracker.close(60)
    assert not spool.exists()
    run = runs_of(client, "away")["00000"]
    assert len(client.get_metric_history(run.info.run_id, "nll")) == 9
    assert run.info.status == "FINISHED"


def test_a_store_that_comes_back_is_written_without_a_restart(
    told: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    log_batch, failures = SqlAlchemyStore.log_batch, []

    def flaky(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(failures) < 3:
            failures.append(time.monotonic())
            raise sqlite3.OperationalError("database is locked")
        return log_batch(self, *args, **kwargs)

    monkeypatch.setattr(SqlAlchemyStore, "log_batch", flaky)
    tracker = make_tracker(told, "flaky")
    tracker.start_trial("00000", CONFIG)
    tracker.log_report("00000", make_report(10))
    assert tracker.flush(30)
    assert tracker.close(10)
    assert len(failures) == 3
    assert failures[2] - failures[1] > failures[1] - failures[0] > 0.4
    assert runs_of(client, "flaky")["00000"].data.metrics["nll"] == 4.0


def test_what_is_not_measured_stays_that(told: Path, client: Any) -> None:
    tracker = make_tracker(told, "nan")
    tracker.start_trial("00000", CONFIG)
    tracker.log_report("00000", make_report(10, nll=math.nan, violation=math.inf))
    assert tracker.close(60)
    metrics = runs_of(client, "nan")["00000"].data.metrics
    assert math.isnan(metrics["nll"])
    assert math.isnan(metrics["violation"])


def test_one_refused_write_does_not_hold_up_the_others(
    told: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = make_tracker(told, "refused")
    tracker.start_trial("00000", {"method": "siss", "a bad *? key": 1})
    tracker.start_trial("00001", CONFIG)
    tracker.log_image("00001", "samples", told / "refused" / "gone.png")
    with caplog.at_level(logging.WARNING):
        assert tracker.close(60)
    assert "MLflow refused a write to run '00000'" in caplog.text
    assert "gone before MLflow" in caplog.text
    assert runs_of(client, "refused")["00001"].data.params["lambd"] == "0.5"


def test_where_artifacts_cannot_be_put_metrics_go_on_and_they_follow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A shared database names the artifacts' directory of the machine that made the experiment."""
    from mlflow.tracking import MlflowClient

    uri, place = f"sqlite:///{tmp_path / 'shared.db'}", tmp_path / "elsewhere"
    place.write_text("no directory")
    client = MlflowClient(uri)
    client.create_experiment(EXPERIMENT, artifact_location=(place / "artifacts").as_uri())
    tracker = make_tracker(tmp_path, "shared", uri)
    with caplog.at_level(logging.WARNING):
        tell_everything(tracker, tmp_path / "shared")
        assert not tracker.close(60)
    runs = runs_of(client, "shared")
    assert runs["00000"].data.metrics["nll"] == 4.0
    assert {name: run.info.status for name, run in runs.items()} == {
        "": "FINISHED",
        "00000": "FINISHED",
        "00001": "FAILED",
    }
    assert runs["00000"].data.tags["pareto"] == "true"
    assert caplog.text.count("artifacts cannot be put into") == 1
    assert f"{place.as_uri()}/artifacts" in caplog.text
    files = StudyFiles(tmp_path / "shared")
    assert not files.mlflow_spool.exists()
    assert files.mlflow_file_spool.exists()

    place.unlink()
    tracker = make_tracker(tmp_path, "shared", uri)
    assert tracker.flush(60)
    assert tracker.close(60)
    assert not files.mlflow_file_spool.exists()
    assert [file.path for file in client.list_artifacts(runs[""].info.run_id, "front")] == [
        "front/front.csv", "front/front.png", "front/report.html",
    ]  # fmt: skip
    [model] = models_of(client, "shared")
    assert str(model.status) == "READY"


def test_a_run_that_starts_again_is_running_again(told: Path, client: Any) -> None:
    for state in (TrialState.STOPPED, None):
        tracker = make_tracker(told, "again")
        tracker.start_trial("00000", CONFIG)
        if state:
            tracker.end_trial("00000", state, "the study ended")
        assert tracker.close(60)
    assert runs_of(client, "again")["00000"].info.status == "RUNNING"


def test_what_is_queued_makes_no_file_public_that_is_not_of_the_study(
    storage: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The spool of a study from elsewhere may name any file, or a link to one."""
    root, outside = storage / "spooled", storage / "private.txt"
    root.mkdir()
    outside.write_text("private")
    (root / "link.txt").symlink_to(outside)
    (root / "own.txt").write_text("own")
    paths = (str(outside), f"{root}/../private.txt", str(root / "link.txt"), str(root / "own.txt"))
    Spool(StudyFiles(root).mlflow_spool).append(Write(STUDY_RUN, artifacts=dict.fromkeys(paths, "taken")))
    with caplog.at_level(logging.WARNING):
        assert make_tracker(storage, "spooled").close(60)
    run = runs_of(client, "spooled")[""]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "taken")] == ["taken/own.txt"]
    assert caplog.text.count("files of the study only") == 3


def test_a_server_that_takes_connections_and_never_answers_is_not_waited_for(
    told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = make_tracker(told, "silent", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        for number in range(50):
            tracker.start_trial(f"{number:05d}", CONFIG)
        assert time.monotonic() - began < 1.0
        assert not tracker.flush(60.0)
        assert time.monotonic() - began < 25.0, "tries of a second each and the delays between them, until it is away"
        began = time.monotonic()
        assert not tracker.close(60.0)
        assert time.monotonic() - began < 5.0
