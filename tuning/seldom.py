"""What is shown of many things and takes long to find out, found out seldom."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Seconds from the end of one time to the next, at least, and as a multiple of what it took.
PERIOD: Final = 1.0
IDLE_SHARE: Final = 9.0


class Seldom(Generic[T]):
    """What a function gave last, which is asked again at most once a second, and for at most a tenth of the time.

    Args:
        find: the function.
        clock: seconds.
    """

    def __init__(self, find: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        self._find, self._clock = find, clock
        self._found: T | None = None
        self._due = 0.0

    def __call__(self, *, anew: bool = False) -> T:
        """The last answer, if it is not due yet; where `anew` is asked for, one of now."""
        if self._found is None or anew or self._clock() >= self._due:
            began = self._clock()
            self._found = self._find()
            ended = self._clock()
            self._due = ended + max(PERIOD, IDLE_SHARE * (ended - began))
        return self._found
