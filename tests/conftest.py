"""One thread for each process: the networks of tests are too small for more, and several processes share the cores."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes that tests start inherit it


@pytest.fixture
def without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's journal syncs the disk at each of some dozen writes a trial: most of the time that tests would take."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
