"""The lock of a journal, between real processes."""

import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tuning.journal_lock import HolderLock
from tuning.optuna_store import open_storage
from tuning.patience import StoreAwayError

HOLD = """
import sys, time
from tuning.journal_lock import HolderLock
lock = HolderLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(float(sys.argv[2]))
lock.release()
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "optuna.journal"


def hold(journal: Path, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD, str(journal), str(seconds)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_is_held_is_waited_for(journal: Path) -> None:
    process = hold(journal, 1.0)
    began = time.monotonic()
    HolderLock(str(journal)).acquire()
    assert time.monotonic() - began > 0.5
    assert process.wait() == 0


def test_the_lock_of_a_dead_process_is_none(journal: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = hold(journal, 60.0)
    process.kill()
    process.wait()
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        study = optuna.create_study(storage=open_storage(journal))
        study.add_trial(optuna.trial.create_trial(value=1.0))
    assert time.monotonic() - began < 5.0
    assert f"left behind by process {process.pid} on {socket.gethostname()}" in caplog.text
    assert list(journal.parent.iterdir()) == [journal]


def test_a_process_that_does_not_let_go_is_named(journal: Path) -> None:
    process = hold(journal, 60.0)
    with pytest.raises(StoreAwayError, match=f"held by process {process.pid} on {socket.gethostname()}"):
        HolderLock(str(journal), seconds=0.3).acquire()
    process.kill()
    process.wait()


def test_optunas_own_lock_is_kept_and_broken_when_it_is_old(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Path(f"{journal}.lock")
    link.symlink_to(journal)
    with pytest.raises(StoreAwayError, match="gives no name"):
        HolderLock(str(journal), seconds=0.3).acquire()
    assert os.readlink(link) == str(journal)
    monkeypatch.setattr("tuning.journal_lock.GRACE_SECONDS", 0.2)
    HolderLock(str(journal)).acquire()
    assert os.readlink(link).endswith(f":{os.getpid()}")


def test_optuna_itself_waits_for_this_lock(journal: Path) -> None:
    optuna.create_study(storage=open_storage(journal), study_name="study")
    process = hold(journal, 1.0)
    began = time.monotonic()
    study = optuna.load_study(study_name="study", storage=JournalStorage(JournalFileBackend(str(journal))))
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert time.monotonic() - began > 0.5
    process.wait()


def test_what_is_not_there_cannot_be_given_back(journal: Path) -> None:
    with pytest.raises(RuntimeError, match="was removed"):
        HolderLock(str(journal)).release()
