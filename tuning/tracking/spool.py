"""What MLflow is to be told, in a file before it is told: a write-ahead log of idempotent writes.

A process that is killed, or a server that is away, loses nothing: the file is read again on the next attach. Writes may
be applied more than once, so the file may say what was done already.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tuning.files import write_text_atomic
from tuning.tracking.write import Write, decode

logger = logging.getLogger(__name__)

MOST_WRITES: Final = 500
"""How many writes are handed out at a time."""

CUT_BYTES: Final = 1 << 20
"""How much of a spool may be done before it is cut off."""


class Spool:
    """A queue of writes, kept in a file from :meth:`append` until everything is done.

    Only what is being written is in memory: a server may stay away for as long as the disk has room. What was done at
    the beginning of the file is cut off when it is more than the rest.

    Args:
        path: the file; absent while there is nothing to do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._begin = 0  # bytes of the file that are done
        self._in_file = _whole_lines(path)
        self._unwritten: list[Write] = []  # that the disk refused
        self._lent = _Lent()

    def append(self, write: Write) -> None:
        """Queue a write. It outlives this process once this returns; where the disk refuses, it is kept in memory."""
        with self._changed:
            self._unwritten.append(write)
            if self._lent.is_of_file:
                self._write_down()
            self._changed.notify_all()

    def wait(self, timeout: float) -> list[Write]:
        """The next writes, ``MOST_WRITES`` at most, as soon as there are any; nothing after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(len(self)), timeout)
            if self._in_file:
                return self._lend_lines()
            self._lent = _Lent(writes=self._unwritten[:MOST_WRITES], is_of_file=not self._unwritten)
            return list(self._lent.writes)

    def done(self) -> None:
        """What the last :meth:`wait` gave is done; the file goes once all is."""
        with self._changed:
            lent, self._lent = self._lent, _Lent()
            if lent.is_of_file:
                self._begin, self._in_file = self._begin + lent.num_bytes, self._in_file - lent.num_lines
                self._cut()
            else:
                del self._unwritten[: len(lent.writes)]
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether everything was done when ``condition`` held, or ``timeout`` seconds were over."""
        with self._changed:
            self._changed.wait_for(lambda: not len(self) or condition(), timeout)
            return not len(self)

    def notify(self) -> None:
        """A condition that somebody waits for may hold now."""
        with self._changed:
            self._changed.notify_all()

    def __len__(self) -> int:
        """Writes that are not done."""
        return self._in_file + len(self._unwritten)

    def _write_down(self) -> None:
        size = self._path.stat().st_size if self._in_file else 0
        text = "".join(json.dumps(asdict(write)) + "\n" for write in self._unwritten)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as stream:
                stream.write(text.encode())
        except OSError as error:
            logger.warning("a write to MLflow is held in memory only: %s", error)
            if self._path.exists():
                os.truncate(self._path, size)  # shrinking works on a full disk
            return
        self._in_file += len(self._unwritten)
        self._unwritten = []

    def _lend_lines(self) -> list[Write]:
        with self._path.open("rb") as stream:
            stream.seek(self._begin)
            lines = list(itertools.islice(stream, MOST_WRITES))
        writes = [write for line in lines if (write := self._decoded(line))]
        self._lent = _Lent(writes, sum(map(len, lines)), len(lines))
        return writes

    def _decoded(self, line: bytes) -> Write | None:
        try:
            return decode(line.decode("utf-8"))
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: passed over a line that is no write", self._path)
            return None

    def _cut(self) -> None:
        if not self._in_file:
            self._path.unlink(missing_ok=True)
            self._begin = 0
        elif self._begin > max(CUT_BYTES, self._path.stat().st_size // 2):
            with self._path.open("rb") as stream:
                stream.seek(self._begin)
                rest = stream.read()
            try:
                write_text_atomic(self._path, rest.decode("utf-8"))
            except OSError:  # there is no room for a copy; what is done stays for now
                return
            self._begin = 0


@dataclass(frozen=True)
class _Lent:
    """What :meth:`Spool.wait` gave last: lines of the file, or what is in memory only."""

    writes: Sequence[Write] = ()
    num_bytes: int = 0
    num_lines: int = 0
    is_of_file: bool = True


def _whole_lines(path: Path) -> int:
    """How many lines a spool has. A last one, torn when its writer stopped, is cut off: the next would join it."""
    if not path.exists():
        return 0
    count, end = 0, 0
    with path.open("rb+") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                count, end = count + 1, end + len(line)
            else:
                logger.warning("%s: passed over a line that was torn when its writer stopped", path)
                stream.truncate(end)
    return count
