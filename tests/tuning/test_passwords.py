"""Passwords from the environment and from a pgpass file, against a PostgreSQL that asks: used, and never shown."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import tune_unlearning
from benchmarks.postgresql import NoServerError, temporary_server
from tuning.files import StudyFiles
from tuning.goals import Objective
from tuning.optuna_store import open_study
from tuning.tracking import Tracker

RIGHT, WRONG = "r:i\\g/h@t%2", "w:r\\o/n@g%3"
NOWHERE = "postgresql://benchmark@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    try:
        with temporary_server(RIGHT) as url:
            yield url
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["PGPASSWORD", "PGPASSFILE"])
def password(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Gives libpq a password in one of the two ways."""
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)

    def give(text: str) -> None:
        if request.param == "PGPASSWORD":
            monkeypatch.setenv("PGPASSWORD", text)
            return
        file = tmp_path / "pgpass"
        escaped = text.replace("\\", "\\\\").replace(":", "\\:")
        file.touch(0o600)
        file.write_text(f"*:*:*:benchmark:{escaped}\n")
        monkeypatch.setenv("PGPASSFILE", str(file))

    return give


def is_hidden(text: str) -> bool:
    return not any(secret in text for secret in (RIGHT, WRONG, RIGHT[4:], WRONG[4:]))


def launched(url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = tune_unlearning.main(["--study", "study.yaml", "--optuna-storage", url, "--dry-run"])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_the_right_password_opens_optuna(url: str, password, workspace: Path, capsys) -> None:
    password(RIGHT)
    status, text = launched(url, capsys)
    assert status == 0
    assert is_hidden(text)
    study = open_study(url, f"study {os.environ.get('PGPASSFILE', '')}", [Objective("sscd", "minimize")])
    assert study.get_trials() == []
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT value_json FROM study_user_attributes").fetchall()
    assert rows
    assert is_hidden(str(rows))


@pytest.mark.parametrize("is_there", [True, False])
def test_a_wrong_password_and_a_server_that_is_away_are_said_without_it(
    url: str, password, workspace: Path, capsys, is_there: bool
) -> None:
    password(WRONG)
    before = sorted(workspace.rglob("*"))
    status, text = launched(url if is_there else NOWHERE, capsys)
    assert status == 2
    assert ("password authentication failed" if is_there else "Connection refused") in text
    assert "optuna_storage must be" in text
    assert "Traceback" not in text
    assert is_hidden(text)
    assert sorted(workspace.rglob("*")) == before


@pytest.mark.parametrize("is_there", [True, False])
def test_mlflow_is_not_told_and_the_warning_does_not_have_it(
    url: str, password, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_there: bool
) -> None:
    password(WRONG)
    uri = (url if is_there else NOWHERE).replace("postgresql:", "postgresql+psycopg:")
    with caplog.at_level(logging.DEBUG):
        files = StudyFiles(tmp_path / "study")
        tracker = Tracker(files, study="study", workload="unconditional", tracking_uri=uri)
        tracker.start_study({"num_trials": 2})
        deadline = time.monotonic() + 60
        while "MLflow cannot be written" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not tracker.close(0)
    assert "MLflow cannot be written" in caplog.text
    assert is_hidden(caplog.text)
    assert is_hidden(files.mlflow_spool.read_text())
