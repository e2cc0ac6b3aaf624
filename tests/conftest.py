"""One thread for each process: the networks of tests are too small for more, and several processes share the cores."""

import os
import tempfile
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes that tests start inherit it
# Ray would start its workers with a niceness of 15: beside tests that compute they would hardly run.
os.environ.setdefault("RAY_worker_niceness", "0")
# What this process and those that it starts keep by content; gone with it.
_CACHE = tempfile.TemporaryDirectory(prefix="unlearning-tests-")
os.environ["UNLEARNING_CACHE"] = _CACHE.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run whole studies come first: workers that take file by file end together if the long ones begin."""
    long = {item.path for item in items if item.get_closest_marker("study")}
    items.sort(key=lambda item: item.path not in long)


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
        # A part of the bucket that no other server of this process has: connections are kept by their URL.
        yield f"s3://{BUCKET}/{found['AWS_ENDPOINT_URL'].rpartition(':')[2]}"
