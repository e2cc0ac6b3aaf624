"""One process at a time drives a study: two would hand the same trials out twice, and write over one another's records.

A lock of the file system is the rule, since it ends with its process however that ends. Where there are none, or where
they do not reach other machines, the other's sign of life tells.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tuning.files import StudyFiles
from tuning.heartbeat import PERIOD_SECONDS, Beat, read_beat, running_beat
from tuning.problems import ConfigError, Problem

#: How long a driver of another machine is given to show that it lives: two signs of life, and some.
WATCHED_SECONDS: Final = 2.5 * PERIOD_SECONDS


@contextmanager
def sole_driver(
    files: StudyFiles, say: Callable[[str], None] = lambda text: None, watched_seconds: float = WATCHED_SECONDS
) -> Iterator[None]:
    """A context in which no other process drives the study.

    A driver of this machine is known at once. One whose last sign of life came less than a minute ago from another
    machine, or another container, is watched for its next one.

    Args:
        files: the study's paths; its directory must be there.
        say: hears what is waited for.
        watched_seconds: how long another machine's driver is watched.

    Raises:
        ConfigError: another process drives it.
    """
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _take(lock):
            raise ConfigError([_refusal(files, read_beat(files.running))])
        if (beat := _elsewhere(files, say, watched_seconds)) is not None:
            raise ConfigError([_refusal(files, beat)])
        yield
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    """Whether no other process has the lock; a file system that knows none answers as if nobody had."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _elsewhere(files: StudyFiles, say: Callable[[str], None], seconds: float) -> Beat | None:
    """The next sign of life of a driver that the lock says nothing of; None where none comes."""
    first = running_beat(files)
    if first is None:
        return None
    say(f"seeing whether process {first.pid} of {first.host} still drives the study: {seconds:.0f} s")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(1.0, seconds / 10))
        beat = read_beat(files.running)
        if beat is None:
            return None
        if beat != first:
            return beat
    return None


def _refusal(files: StudyFiles, beat: Beat | None) -> Problem:
    who = "another process" if beat is None else f"process {beat.pid} of {beat.host}, last heard of at {beat.time}"
    remedy = (
        "wait until it has ended, or end it by SIGINT, at its next reports; python -m tuning.status shows how it is"
    )
    return Problem("a study must be driven by one process at a time", f"{files.root}, driven by {who}", remedy)
