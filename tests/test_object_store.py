"""A whole study with its results in an S3 store; another machine goes on with it from there alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from diffusers import DDPMPipeline
from s3 import SECRET

from analysis.load import load_study
from benchmarks.soak_lib.accounts import acknowledged, settle
from benchmarks.soak_lib.running import Launch
from trainable.depot import Depot
from trainable.testing import write_tiny_study
from tuning.files import StudyFiles
from tuning.mirror.mirror import PERIOD
from tuning.mirror.taking_over import bring_back
from tuning.paths import PROJECT_ROOT

pytestmark = pytest.mark.study
NUM_TRIALS, RUNGS = 3, (2, 4)


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_study(tmp_path_factory.mktemp("tiny"), num_trials=NUM_TRIALS, max_concurrent_trials=1)


@pytest.fixture(scope="module")
def machines(s3: str, study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Launch, list[str]]:
    """Where a study was finished whose first machine is gone, and what the first had reported."""
    first = Launch(study_file, tmp_path_factory.mktemp("first"), storage_path=s3)
    running = first.start()
    running.wait_for_reports(3)
    before = acknowledged(running.files)
    store = Depot(running.files.root, s3)
    latest = StudyFiles(first.storage / "latest" / running.files.name)

    def copied() -> bool:
        shutil.rmtree(latest.root, ignore_errors=True)
        try:
            bring_back(s3, latest.root)
        except FileNotFoundError:  # the study runs on, and a spool goes when it is empty
            return False
        return set(before) <= set(acknowledged(latest))

    running.wait_for(copied, "the copy of the records", 60 * PERIOD)
    running.kill()
    assert store.entries(running.files.ray)
    shutil.rmtree(first.storage)

    second = Launch(study_file, tmp_path_factory.mktemp("second"), storage_path=s3)
    resumed = second.start("--resume")
    assert resumed.finish() == 0, second.log.read_text()
    return second, before


def test_another_machine_goes_on_from_the_store_and_nothing_is_lost(machines: tuple[Launch, list[str]]) -> None:
    launch, before = machines
    files = StudyFiles(launch.storage / "runs" / "tiny")
    accounts = settle(files, NUM_TRIALS, RUNGS, before=before)
    assert accounts.are_settled, accounts


def test_it_ends_as_a_study_in_a_directory_does(
    machines: tuple[Launch, list[str]], study_file: Path, tmp_path: Path
) -> None:
    here = Launch(study_file, tmp_path)
    assert here.start().finish() == 0, here.log.read_text()
    for name in ("reports.csv", "front.csv"):
        assert (machines[0].storage / "runs" / "tiny" / name).read_bytes() == (tmp_path / "tiny" / name).read_bytes()


def test_models_are_in_the_store_alone_and_the_records_in_both(machines: tuple[Launch, list[str]], s3: str) -> None:
    files = StudyFiles(machines[0].storage / "runs" / "tiny")
    depot = Depot(files.root, s3)
    study = load_study(files.root)
    members = {str(Path(path).name) for path in study.front["checkpoint"]}
    assert set(depot.entries(files.checkpoints)) == members
    assert not [path for folder in (files.checkpoints, files.candidates) for path in folder.glob("*")]
    assert len(depot.entries(files.candidates)) == NUM_TRIALS * len(RUNGS)
    assert not [n for t in depot.entries(files.ray) for n in depot.entries(files.ray / t) if n.startswith("checkpoint")]
    assert {"reports.csv", "trials.csv", "front.csv", "report.html", "optuna.journal"} <= set(depot.entries(files.root))
    depot.download(files.checkpoints / min(members))
    assert DDPMPipeline.from_pretrained(files.checkpoints / min(members)).unet.config.sample_size == 8
    assert f"Models:       {s3}/tiny/checkpoints" in machines[0].log.read_text()


def test_pictures_come_to_the_report_and_to_mlflow(machines: tuple[Launch, list[str]]) -> None:
    root = machines[0].storage / "runs" / "tiny"
    drawn = {path.name for path in (root / "images").glob("*.png")}
    reports = pd.read_csv(root / "reports.csv", dtype={"trial_id": str})
    assert {f"{row.trial_id}-{row.step}-samples.png" for row in reports.itertuples()} <= drawn
    logged = {path.name for path in (root.parent / "mlartifacts").rglob("*.png")}
    assert {f"{row.trial_id}-{row.step}-samples.png" for row in reports.itertuples()} <= logged


def test_the_key_is_written_nowhere(machines: tuple[Launch, list[str]]) -> None:
    files = [path for path in machines[0].storage.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_name_that_the_store_has_and_a_store_that_is_not_there_are_refused(
    machines: tuple[Launch, list[str]],
    study_file: Path,
    s3: str,
    tmp_path: Path,
) -> None:
    words = [sys.executable, str(PROJECT_ROOT / "tune_unlearning.py"), "--study", str(study_file), "--storage-path"]
    taken = subprocess.run([*words, s3], capture_output=True, text=True, cwd=tmp_path)
    assert taken.returncode == 2
    assert f"a study's name must be new, but got {s3}/tiny, which exists" in taken.stderr
    for flags in ((), ("--resume",)):
        gone = subprocess.run([*words, "s3://no-such-bucket/lab", *flags], capture_output=True, text=True, cwd=tmp_path)
        assert gone.returncode == 2
        assert "storage_path must be an object store that answers" in gone.stderr
        assert "Traceback" not in gone.stderr
    assert not any(tmp_path.iterdir())
