"""One thread for each process: the networks of tests are too small for more, and several processes share the cores."""

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes that tests start inherit it


@pytest.fixture
def without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's journal syncs the disk at each of some dozen writes a trial: most of the time that tests would take."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of an object store; this process, and those that it starts, find it by their environment."""
    from s3 import BUCKET, s3_server

    with pytest.MonkeyPatch.context() as patch, s3_server() as found:
        for name, value in found.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}/lab"
