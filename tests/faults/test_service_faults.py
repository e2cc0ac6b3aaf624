"""Faults of the driver and of services, each done for real to a study that runs: nothing lost, twice, or left over."""

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from analysis.load import load_study
from benchmarks.postgresql import NoServerError, own_server
from benchmarks.soak_lib import service_faults as faults
from benchmarks.soak_lib.accounts import acknowledged, settle
from benchmarks.soak_lib.mlflow_server import MlflowServer
from benchmarks.soak_lib.running import AGENTS, Launch
from benchmarks.soak_lib.scenarios import NOBODY
from trainable.testing import write_tiny_study
from tuning.optuna_store import open_storage

NUM_TRIALS, RUNGS = 3, [40, 80, 120]
pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tiny")
    return write_tiny_study(directory, num_trials=NUM_TRIALS, rungs=RUNGS, max_concurrent_trials=1)


@pytest.fixture(scope="module")
def undisturbed(study_file, tmp_path_factory):
    launch = Launch(study_file, tmp_path_factory.mktemp("undisturbed"))
    assert launch.start().finish() == 0, launch.log.read_text()
    return launch


@pytest.fixture
def storage(undisturbed, tmp_path):
    """A storage path that knows the baseline, so that it need not be measured again."""
    shutil.copytree(undisturbed.storage / ".baselines", tmp_path / "runs" / ".baselines")
    return tmp_path / "runs"


def assert_equal(launch: Launch, undisturbed: Launch) -> None:
    for name in ("reports.csv", "front.csv"):
        assert (launch.files.root / name).read_bytes() == (undisturbed.files.root / name).read_bytes(), name


def assert_it_ends_and_says_how_to_go_on(study) -> None:
    assert study.finish(120) == 1
    text = study.launch.log.read_text()
    assert "interrupted; to go on: python tune_unlearning.py --name tiny" in text
    assert "Traceback" not in text
    study.wait_until_gone()


def state_of(launch: Launch) -> tuple[list[str], list[str]]:
    """States of the trials in Optuna's journal, and in trials.csv."""
    study = optuna.load_study(study_name="tiny", storage=open_storage(launch.files.journal))
    return [trial.state.name for trial in study.trials], list(load_study(launch.files.root).trials["state"])


def test_signals_and_kills_while_mlflow_is_not_there(study_file, undisturbed, storage):
    launch = Launch(study_file, storage, ("--mlflow-tracking-uri", NOBODY))

    study = launch.start()
    study.wait_for(lambda: "prepare images" in launch.log.read_text(), "the stage before trials")
    faults.interrupt(study, signal.SIGTERM)
    assert_it_ends_and_says_how_to_go_on(study)
    assert not launch.files.reports.exists()

    study = launch.start("--resume")
    study.wait_for_reports(1)
    faults.press_ctrl_c(study)
    assert_it_ends_and_says_how_to_go_on(study)
    assert "asked to stop: waiting for the next report of 1 trial" in launch.log.read_text()
    in_optuna, in_file = state_of(launch)
    open_trials = sum(state == "RUNNING" for state in in_optuna)
    assert open_trials == sum(state == "STOPPED" for state in in_file), "what was asked to stop is not told as ended"
    before = acknowledged(launch.files)
    assert len(before) < NUM_TRIALS * len(RUNGS)

    study = launch.start("--resume")
    study.wait_for_reports(len(before) + 1)
    faults.interrupt_twice(study)
    assert_it_ends_and_says_how_to_go_on(study)

    study = launch.start("--resume")
    study.wait_for_reports(len(acknowledged(launch.files)) + 1)
    faults.leave_journal_lock(study)
    study.wait_until_gone(20, lingering=AGENTS)

    killed, study = study, launch.start("--resume")
    study.wait_for_reports(len(acknowledged(launch.files)) + 1)
    faults.kill_cluster(study)
    assert not study.processes()

    store = f"sqlite:///{storage / 'later.db'}"
    study = launch.start("--resume", "--mlflow-tracking-uri", store)
    assert study.finish() == 0, launch.log.read_text()
    assert settle(launch.files, NUM_TRIALS, RUNGS, before=before, mlflow_tracking_uri=store).are_settled
    assert_equal(launch, undisturbed)
    for one in (killed, study):
        one.wait_until_gone()


def test_mlflow_goes_and_comes_sqlite_is_locked_and_the_clock_goes_back(study_file, undisturbed, storage, tmp_path):
    server = MlflowServer(tmp_path, f"sqlite:///{tmp_path / 'server.db'}")
    database, clock = tmp_path / "o.db", tmp_path / "clock"
    flags = ("--mlflow-tracking-uri", server.url, "--optuna-storage", f"sqlite:///{database}")
    launch = Launch(study_file, storage, flags, faults.clock_environment(clock))
    server.start()
    try:
        study = launch.start()
        study.wait_for_reports(1)
        faults.step_clock_back(clock)
        server.kill()
        study.wait_for_reports(3)
        faults.lock_sqlite(database, 8.0)
        assert not study.has_ended
        server.start()
        assert study.finish() == 0, launch.log.read_text()
        study.wait_until_gone()
    finally:
        server.kill()
    text = launch.log.read_text()
    assert "MLflow is written again" in text
    assert "database is locked; held by process" in text
    assert "o.db answers again" in text
    accounts = settle(
        launch.files,
        NUM_TRIALS,
        RUNGS,
        optuna_storage=f"sqlite:///{database}",
        mlflow_tracking_uri=server.store,
    )
    assert accounts.are_settled, accounts
    assert_equal(launch, undisturbed)


def test_postgresql_is_restarted_under_optuna_and_mlflow(study_file, undisturbed, storage):
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(own_server())
        except NoServerError as error:
            pytest.skip(f"no PostgreSQL of its own: {error}")
        store = server.add_database("mlflow").replace("postgresql://", "postgresql+psycopg://", 1)
        launch = Launch(study_file, storage, ("--optuna-storage", server.url, "--mlflow-tracking-uri", store))
        study = launch.start()
        study.wait_for_reports(2)
        faults.restart_postgresql(server)
        assert study.finish() == 0, launch.log.read_text()
        assert "answers again" in launch.log.read_text()
        accounts = settle(launch.files, NUM_TRIALS, RUNGS, optuna_storage=server.url, mlflow_tracking_uri=store)
        assert accounts.are_settled, accounts
        assert_equal(launch, undisturbed)


def test_the_injectors_do_what_they_say(tmp_path: Path):
    """A clock that does not step, or a lock that does not hold, would let every study pass."""
    clock = tmp_path / "clock"
    faults.step_clock_back(clock)
    code = "import time; print(time.time(), time.time_ns() / 1e9)"
    out = subprocess.run(
        [sys.executable, "-c", code], env=faults.clock_environment(clock), capture_output=True, text=True, check=True
    ).stdout
    for value in map(float, out.split()):
        assert value == pytest.approx(time.time() - faults.CLOCK_STEP_SECONDS, abs=60)
    database = tmp_path / "locked.db"
    sqlite3.connect(database).execute("CREATE TABLE t (x)")
    began = time.monotonic()
    faults.lock_sqlite(database, 1.0)
    assert time.monotonic() - began > 1.0
