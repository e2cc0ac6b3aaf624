"""Where studies are taken from: the newest of a storage path, and the files that a run in MLflow has."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from synthetic_study import make_reports, write_study

from analysis import mlflow_source
from analysis.load import StudyError
from analysis.sources import newest_study, open_study, study_from_mlflow
from tuning.tracking import EXPERIMENT
from tuning.tracking.client import open_client

SMALL = make_reports(5)


def add_event(root: Path, time: str) -> None:
    with (root / "events.jsonl").open("a") as stream:
        stream.write(json.dumps({"time": time, "event": "stage"}) + "\n")


class TestNewest:
    def test_the_last_event_counts_and_without_events_the_files(self, tmp_path: Path) -> None:
        first, second, third = (write_study(tmp_path / name, reports=SMALL) for name in ("a", "b", "c"))
        add_event(first, "2026-03-01T00:00:00+00:00")
        add_event(second, "2026-02-01T00:00:00+00:00")
        for path in third.iterdir():
            os.utime(path, (0, 0))
        assert newest_study(tmp_path).name == "a"
        add_event(second, "2026-04-01T00:00:00")
        with (second / "events.jsonl").open("a") as stream:
            stream.write('{"time": "2099')  # torn when its writer was killed
        assert newest_study(tmp_path).name == "b"
        os.utime(third / "reports.csv", (4e9, 4e9))
        assert newest_study(tmp_path).name == "c"

    def test_no_study(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(StudyError, match=r"must have a study\.yaml, but no directory in .* has one; start a study"):
            newest_study(tmp_path)
        with pytest.raises(StudyError, match=r"directory that can be read, but got .*--storage-path"):
            newest_study(tmp_path / "nowhere")

    def test_a_path_a_study_or_a_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = write_study(tmp_path / "runs" / "only one", reports=SMALL)
        monkeypatch.chdir(tmp_path)
        for study in (open_study(), open_study("runs"), open_study(root), open_study("runs", "only one")):
            assert study.files.root == root
        with pytest.raises(StudyError, match=r"must have a study\.yaml"):
            open_study("runs", "other")
        with pytest.raises(StudyError, match=r"but got s3://bucket/runs; fetch it first"):
            open_study("s3://bucket/runs")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A tracking URI and its client: one database for all tests, since making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = open_client(uri)
    client.create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    return uri, client


_TIMES = iter(range(1_700_000_000_000, 1_800_000_000_000, 1000))


def add_run(client: Any, name: str, root: Path | None, **tags: str) -> str:
    """A study's run, newer than all before, with the study's files where it has some."""
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    run = client.create_run(experiment, start_time=next(_TIMES), tags={"study": name, **tags}, run_name=name).info
    for path in sorted(root.iterdir()) if root is not None else ():
        client.log_artifact(run.run_id, str(path), "study")
    return str(run.run_id)


class TestMlflow:
    @pytest.fixture(scope="class")
    def root(self, store: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The study "night": an earlier one of its name, and later runs that are not to be taken for it."""
        _, client = store
        root = write_study(tmp_path_factory.mktemp("runs") / "night", reports=SMALL)
        add_event(root, "2026-03-01T00:00:00+00:00")
        earlier = write_study(tmp_path_factory.mktemp("runs") / "night", reports=make_reports(3))
        add_run(client, "night", earlier)
        add_run(client, "night", root)
        add_run(client, "night", None)  # a third one, which runs
        add_run(client, "night", earlier, trial_id="00000")
        return root

    def test_the_files_of_the_newest_run_that_has_them(self, store: tuple[str, Any], root: Path) -> None:
        for study in (study_from_mlflow(store[0]), study_from_mlflow(store[0], "night"), open_study(store[0])):
            assert study.name == "night"
            assert study.files.root != root
            names = ("study.yaml", "baseline.json", "reports.csv", "trials.csv", "front.csv", "events.jsonl")
            for name in names:
                assert (study.files.root / name).read_bytes() == (root / name).read_bytes()
            assert len(study.reports) == len(SMALL)
            assert study.is_finished

    def test_what_is_not_there(self, store: tuple[str, Any], root: Path, tmp_path: Path) -> None:
        uri, client = store
        with pytest.raises(StudyError, match=r"the study 'other' must have files .* but there is no run of it"):
            study_from_mlflow(uri, "other")
        add_run(client, "young", None)
        with pytest.raises(StudyError, match=r"its runs \(young\) have none; they come when a study has finished"):
            study_from_mlflow(uri, "young")
        with pytest.raises(StudyError, match="a study's name must be letters"):
            study_from_mlflow(uri, "x' OR '1' = '1")
        missing = tmp_path / "typo.db"
        with pytest.raises(StudyError, match=r"an MLflow database must be there, but .*typo\.db is not"):
            study_from_mlflow(f"sqlite:///{missing}")
        assert not missing.exists()
        (tmp_path / "other.db").write_text("no database")
        with pytest.raises(StudyError, match=r"an MLflow store must be one that can be read"):
            study_from_mlflow(f"sqlite:///{tmp_path / 'other.db'}")
        with pytest.raises(StudyError) as error:
            study_from_mlflow("http://reader:hidden@127.0.0.1:9")
        assert "hidden" not in str(error.value)

    def test_other_files_and_names_stay_there(
        self, store: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri, client = store
        root = write_study(tmp_path / "odd", reports=SMALL)
        (root / "report.html").write_text("<script>")
        (root / "notes").mkdir()
        add_run(client, "../odd", root)
        study = study_from_mlflow(uri)
        assert study.name == "study"
        assert not study.files.report.exists()
        assert not (study.files.root / "notes").exists()
        monkeypatch.setattr(mlflow_source, "LARGEST", 1 << 12)
        with pytest.raises(StudyError, match=r"must have at most 0 MiB together, but those of '\.\./odd'"):
            study_from_mlflow(uri)

    def test_more_than_was_announced(
        self, store: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri, client = store
        add_run(client, "grown", write_study(tmp_path / "grown", reports=SMALL))
        monkeypatch.setattr(mlflow_source, "LARGEST", 1 << 12)
        monkeypatch.setattr(mlflow_source, "_files", lambda client, run_id: {"study.yaml": 1, "reports.csv": 1})
        with pytest.raises(StudyError, match="together, but those of 'grown' in MLflow"):
            study_from_mlflow(uri, "grown")

    def test_broken_files(self, store: tuple[str, Any], tmp_path: Path) -> None:
        uri, client = store
        root = write_study(tmp_path / "broken", reports=SMALL)
        (root / "front.csv").write_text("trial_id,step,checkpoint\n00001,10,../../secret\n")
        add_run(client, "broken", root)
        with pytest.raises(StudyError, match="checkpoint of a front member must be"):
            study_from_mlflow(uri, "broken")
        shutil.rmtree(root)
        (root / "study.yaml").mkdir(parents=True)
        (root / "study.yaml" / "inside").write_text("")
        add_run(client, "folder", root)
        with pytest.raises(StudyError, match="have none"):
            study_from_mlflow(uri, "folder")
