"""What MLflow is to be told, in a file before it is told: a write-ahead log of idempotent writes.

A process that is killed, or a server that is away, loses nothing: the file is read again on the next attach. Writes may
be applied more than once, so the file is only ever emptied as a whole.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

STUDY_RUN: Final = ""
"""The ``run`` of a write to the study's own run; any other is a trial id."""


@dataclass(frozen=True)
class Point:
    """One value of a metric at a step."""

    key: str
    value: float
    step: int
    time_ms: int


@dataclass(frozen=True)
class Write:
    """What one MLflow run is to have. Applying it twice is applying it once.

    Args:
        run: trial id, or :data:`STUDY_RUN`.
        time_ms: when it happened, milliseconds since 1970.
        name: display name, used where the run is created.
        tags: the last value counts.
        params: the first value counts.
        points: metrics, written once per (key, step).
        summaries: metrics that describe the run as a whole; a changed value replaces the old one.
        texts: artifact path → content.
        artifacts: local file → artifact folder; a file that is gone by then is passed over.
        status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
        status_ms: when the run took that status; 0 is ``time_ms``.
    """

    run: str
    time_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    points: Sequence[Point] = ()
    summaries: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    status: str | None = None
    status_ms: int = 0


def merged(writes: Iterable[Write]) -> list[Write]:
    """One write per run, in order of first mention, with the effect of all."""
    by_run: dict[str, Write] = {}
    for write in writes:
        by_run[write.run] = _merge(by_run[write.run], write) if write.run in by_run else write
    return list(by_run.values())


def _merge(first: Write, second: Write) -> Write:
    last = second if second.status else first
    return Write(
        run=first.run,
        time_ms=first.time_ms,
        name=first.name or second.name,
        tags={**first.tags, **second.tags},
        params={**second.params, **first.params},
        points=[*first.points, *second.points],
        summaries={**first.summaries, **second.summaries},
        texts={**first.texts, **second.texts},
        artifacts={**first.artifacts, **second.artifacts},
        status=last.status,
        status_ms=last.status_ms or last.time_ms,
    )


def decode(line: str) -> Write:
    """The write of one line.

    Raises:
        ValueError, TypeError, KeyError: the line is none, for instance torn.
    """
    fields: dict[str, Any] = json.loads(line)
    return Write(**{**fields, "points": [Point(**point) for point in fields["points"]]})


class Spool:
    """A queue of writes, kept in a file from :meth:`append` until everything is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._pending: list[Write] = _load(path)

    def append(self, write: Write) -> None:
        """Queue a write. It outlives this process once this returns; where the disk refuses, it is kept in memory."""
        with self._changed:
            self._pending.append(write)
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(asdict(write)) + "\n")
            except OSError as error:
                logger.warning("a write to MLflow is held in memory only: %s", error)
            self._changed.notify_all()

    def wait(self, timeout: float) -> list[Write]:
        """Everything that is queued, as soon as there is something, else nothing after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._pending), timeout)
            return list(self._pending)

    def done(self, count: int) -> None:
        """The first ``count`` writes are done; the file goes once all are."""
        with self._changed:
            del self._pending[:count]
            if not self._pending:
                self._path.unlink(missing_ok=True)
            self._changed.notify_all()

    def wait_empty(self, timeout: float) -> bool:
        """Whether everything was done within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout)

    def __len__(self) -> int:
        with self._changed:
            return len(self._pending)


def _load(path: Path) -> list[Write]:
    if not path.exists():
        return []
    writes = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            writes.append(decode(line))
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: passed over a line that is no write, torn when its writer stopped", path)
    return writes
