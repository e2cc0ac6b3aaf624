"""A wall clock that goes back, for every Python process that has this folder on its PYTHONPATH.

From the moment that the file named by ``STEPPING_CLOCK`` exists, all that reads the clock in Python is as many seconds
behind as the file says. Clocks that only measure how long something takes are left alone, as a real step leaves them.
"""

import datetime
import os
import time
from pathlib import Path

_FILE = Path(os.environ.get("STEPPING_CLOCK", "/nowhere"))
_true_time, _true_time_ns = time.time, time.time_ns


def _step() -> float:
    try:
        return float(_FILE.read_text())
    except (OSError, ValueError):
        return 0.0


def _time() -> float:
    return _true_time() - _step()


def _time_ns() -> int:
    return _true_time_ns() - int(_step() * 1e9)


class _SteppingDatetime(datetime.datetime):
    __slots__ = ()  # compiled libraries refuse a datetime of another size

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return datetime.datetime.fromtimestamp(_time(), tz)


time.time, time.time_ns = _time, _time_ns
datetime.datetime = _SteppingDatetime  # type: ignore[misc]
