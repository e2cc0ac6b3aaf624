"""One process at a time drives a study, on this machine and on others."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tuning import sole_driver as module
from tuning.files import StudyFiles, write_text_atomic
from tuning.heartbeat import Beat, Heartbeat, read_beat
from tuning.paths import PROJECT_ROOT
from tuning.problems import ConfigError
from tuning.sole_driver import sole_driver

DRIVER = """
import sys, time
from pathlib import Path
from tuning.files import StudyFiles
from tuning.heartbeat import Heartbeat
from tuning.sole_driver import sole_driver
files = StudyFiles(Path(sys.argv[1]))
with sole_driver(files), Heartbeat(files, period=0.05):
    print("drives", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path)


@pytest.fixture
def driver(files: StudyFiles) -> Iterator[subprocess.Popen[str]]:
    """A process that drives the study."""
    command = [sys.executable, "-c", DRIVER, str(files.root)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "drives\n"
            yield process
        finally:
            process.kill()


@contextmanager
def driven_elsewhere(files: StudyFiles, period: float) -> Iterator[None]:
    """A driver of another machine, which gives a sign of life again and again."""
    ended = threading.Event()

    def beat() -> None:
        for number in range(10_000):
            sign = replace(Beat.now(), pid=number, host="elsewhere", processes="elsewhere")
            write_text_atomic(files.running, json.dumps(asdict(sign)))
            started.set()
            if ended.wait(period):
                return

    started, thread = threading.Event(), threading.Thread(target=beat)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_second_process_is_refused_and_told_of_the_first(files: StudyFiles, driver: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(ConfigError, match=f"one process at a time.*driven by process {driver.pid} of "),
        sole_driver(files),
    ):
        pass


def test_a_killed_one_leaves_nothing_that_holds_up_the_next(
    files: StudyFiles, driver: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    driver.kill()
    driver.wait()
    assert read_beat(files.running) is not None
    with sole_driver(files, print):
        pass
    with sole_driver(files, print):
        pass
    assert capsys.readouterr().out == ""


def test_where_a_file_system_has_no_locks_the_sign_of_life_tells(
    files: StudyFiles, driver: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(module.fcntl, "flock", unknown)
    with pytest.raises(ConfigError, match=f"process {driver.pid}"), sole_driver(files, watched_seconds=30):
        pass
    driver.kill()
    driver.wait()
    with sole_driver(files):
        pass


def test_another_machines_driver_is_watched_for_its_next_sign_of_life(files: StudyFiles) -> None:
    said: list[str] = []
    refused = pytest.raises(ConfigError, match="of elsewhere, last heard of at")
    with driven_elsewhere(files, period=0.2), refused, sole_driver(files, said.append, watched_seconds=30):
        pass
    assert said == ["seeing whether process 0 of elsewhere still drives the study: 30 s"]


def test_another_machines_driver_that_gives_none_is_gone(files: StudyFiles) -> None:
    with driven_elsewhere(files, period=600):
        pass
    with sole_driver(files, watched_seconds=0.5), Heartbeat(files):
        beat = read_beat(files.running)
        assert beat is not None
        assert beat.host != "elsewhere"
