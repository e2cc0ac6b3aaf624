"""How long a step still takes, by how far it came in what time, and how that is said."""

from __future__ import annotations

from collections import deque


class RemainingTime:
    """The time left of one step, estimated at every progress and counted down in between.

    The pace is that of the later half of the time so far, which is long enough to be smooth, and in which a slow
    beginning (a process starts, a model is loaded) is forgotten. What was done before the step began says nothing of
    it. Where the step goes back, since a machine was lost with what it had done, the estimate begins anew.

    Args:
        began: clock at its beginning, in seconds.
        expected: seconds that it is expected to take, until its own pace is known; None where nobody can tell.
        limit: seconds after which it is asked to end; None for none.
    """

    def __init__(self, began: float, *, expected: float | None = None, limit: float | None = None) -> None:
        self._began, self._expected, self._limit = began, expected, limit
        self._passed = deque([(began, 0.0)])  # (clock, share) of progress in the later half, and the one before
        self._share = 0.0
        self._left: float | None = None  # at the clock of the last progress

    def set_out(self, share: float) -> None:
        """So large a share of it was done before it began."""
        self._passed, self._share = deque([(self._began, share)]), share
        if self._expected is not None:
            self._expected *= 1 - share

    def reach(self, share: float, now: float) -> None:
        """It has come to ``share`` of itself."""
        before, self._share = self._share, share
        if share < before:
            self._passed, self._left, self._expected = deque([(now, share)]), None, None
        elif share > before and now > self._passed[-1][0]:
            self._passed.append((now, share))
            while self._passed[1][0] <= self._began + (now - self._began) / 2:
                self._passed.popleft()
            since, then = self._passed[0]
            self._left = (now - since) / (share - then) * (1 - share)

    def seconds_left(self, now: float) -> float | None:
        """Above 0; None where it cannot be told: without any pace, when the time is over, and when all is done."""
        known = [self._counted_down(now)]
        if self._limit is not None:
            if now - self._began >= self._limit:
                return None
            known.append(self._limit - (now - self._began))
        elif known == [None]:
            return None
        left = min(seconds for seconds in known if seconds is not None)
        return left if left > 0 and self._share < 1 else None

    def _counted_down(self, now: float) -> float | None:
        """The last estimate less the time since then; may be negative."""
        if self._left is not None:
            return self._left - (now - self._passed[-1][0])
        return None if self._expected is None else self._expected - (now - self._began)


def rounded(seconds: float) -> int:
    """An estimate to as many seconds as it can be trusted, and read while it changes: 1, 10 or 60 of them."""
    step = 1 if seconds < 60 else 10 if seconds < 600 else 60
    return max(1, round(seconds / step) * step)


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
