"""``.running.json``: the sign of life of the process that drives a study, which a killed one does not give."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from tuning.files import StudyFiles, write_text_atomic

PERIOD_SECONDS: Final = 10.0
#: A sign of life older than this is that of a process, or a machine, that is gone.
STALE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Beat:
    """One sign of life.

    Attributes:
        pid: of the process that drives the study.
        host: its machine, by name.
        processes: where its number means something: the machine's name and the namespace of process numbers.
        time: when it was given, UTC in ISO 8601.
    """

    pid: int
    host: str
    processes: str
    time: str

    @classmethod
    def now(cls) -> Beat:
        """This process's."""
        return cls(os.getpid(), socket.gethostname(), process_space(), datetime.now(UTC).isoformat(timespec="seconds"))

    def age(self, now: datetime) -> float:
        """Seconds since it was given; negative where the clocks of two machines differ."""
        return (now - datetime.fromisoformat(self.time)).total_seconds()


class Heartbeat:
    """Gives signs of life while a study runs, as a context. A disk that is full is no reason to stop.

    Args:
        files: the study's paths.
        period: seconds between two.
    """

    def __init__(self, files: StudyFiles, period: float = PERIOD_SECONDS) -> None:
        self._path, self._period = files.running, period
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        last = read_beat(self._path)
        if last is not None and (last.pid, last.processes) == (os.getpid(), process_space()):
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(self._period):
            self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            if self._path.parent.is_dir():  # a study that was deleted stays so
                write_text_atomic(self._path, json.dumps(asdict(Beat.now())) + "\n")


def running_beat(files: StudyFiles, now: datetime | None = None) -> Beat | None:
    """The last sign of life of a study that runs; None of one that does not.

    A process of this machine is asked for. Of another machine's a sign younger than a minute is taken, for which the
    clocks of both must agree as well as that.
    """
    beat = read_beat(files.running)
    if beat is None or beat.age(now or datetime.now(UTC)) > STALE_SECONDS:
        return None
    return None if beat.processes == process_space() and not _is_alive(beat.pid) else beat


def read_beat(path: Path) -> Beat | None:
    """The sign of life in a file; None where there is none that can be read."""
    try:
        beat = Beat(**json.loads(path.read_text(encoding="utf-8")))
        beat.age(datetime.now(UTC))
    except (OSError, ValueError, TypeError):
        return None
    return beat if isinstance(beat.pid, int) else None


def process_space() -> str:
    """Two containers may share a machine's name, and each have a process 17."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _is_alive(pid: int) -> bool:
    """Whether a process is there and not merely waited for by its parent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
