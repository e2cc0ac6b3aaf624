"""``events.jsonl``: what happened in a study and when, for people and machines that look on or come later.

It holds what ``reports.csv`` and ``front.csv`` must not: clocks, seconds, memory, versions. Nothing of a study is made
from it, so that a line that cannot be written is let go, and one that cannot be read is passed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from numbers import Integral, Real
from pathlib import Path
from threading import Lock
from typing import Any, Final

from tuning.problems import redact

#: Characters of a text, above which it is cut, and bytes of a line, above which its facts are left out.
TEXT_LENGTH: Final = 300
LINE_LENGTH: Final = 4096


class EventName(StrEnum):
    """What happens to the study or to one of its trials, and what the terminal is told."""

    STUDY_STARTED = "study_started"
    TRIAL_STARTED = "trial_started"
    RESUMED = "resumed"
    RETRIED = "retried"
    REPORT = "report"
    TRIAL_ENDED = "trial_ended"
    STAGE = "stage"
    FRONT = "front"
    MESSAGE = "message"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Event:
    """One line.

    Attributes:
        time: when, in UTC.
        name: what happened.
        trial_id: to which trial; None where to the study.
        facts: all else.
    """

    time: datetime
    name: str
    trial_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class EventLog:
    """Appends events to a file. Every event opens it anew, which is what makes other machines see it over NFS.

    Args:
        path: the file; made at the first event, in a directory that must be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def write(self, name: str, facts: Mapping[str, Any] | None = None, trial_id: str | None = None) -> None:
        """Note that something happens now; a disk that is full or gone is no reason to stop.

        Args:
            name: a word, such as ``trial_started``.
            facts: plain values. Texts lose their passwords and what is beyond 300 characters, numbers that are not
                finite become null.
            trial_id: whose it is.
        """
        head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": name}
        head |= {} if trial_id is None else {"trial_id": trial_id}
        line = _line({**head, **_plain(facts or {})})
        if len(line) > LINE_LENGTH:
            line = _line({**head, "left_out": "too long"})
        try:
            with self._lock, self._path.open("a+b", buffering=0) as stream:
                stream.write(b"\n" + line if _is_torn(stream) else line)
        except OSError:
            return


def read_events(path: Path) -> Iterator[Event]:
    """The events of a file, in its order; none where it cannot be read. What is no event is passed over."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        event = _event(line)
        if event is not None:
            yield event


def _is_torn(stream: Any) -> bool:
    """Whether the last line was cut short, by a crash or a full disk: another must not be glued to it."""
    if not stream.seek(0, 2):
        return False
    stream.seek(-1, 2)
    return bool(stream.read(1) != b"\n")


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"


def _plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if value is None or isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's bool is no Integral
        return None if value is None else bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    text = redact(str(value)[: 10 * TEXT_LENGTH])
    return text if len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + "…"


def _event(line: bytes) -> Event | None:
    try:
        record = json.loads(line)
        time = datetime.fromisoformat(record.pop("time"))
        name, trial_id = record.pop("event"), record.pop("trial_id", None)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not isinstance(name, str) or not isinstance(trial_id, str | None):
        return None
    return Event(time if time.tzinfo else time.replace(tzinfo=UTC), name, trial_id, record)
