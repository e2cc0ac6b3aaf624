"""Where each trial's time goes, put together from what its worker says and from when its events come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from trainable.profile import PARTS, Seconds, added


class Profiles:
    """The seconds of trials that run, by part.

    Of a trial that an earlier launch began, the parts are those since this launch took it up.

    Args:
        clock: seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}
        self._spent: dict[str, Seconds] = {}

    def start(self, trial_id: str) -> None:
        """A trial runs, for the first time or again."""
        self._began.setdefault(trial_id, self._clock())

    def add(self, trial_id: str, seconds: Mapping[str, float]) -> None:
        """What the worker spent on a report."""
        self._spent[trial_id] = added([self._spent.get(trial_id, {}), seconds])

    @contextmanager
    def tracking(self, trial_id: str) -> Iterator[None]:
        """The body keeps and tells what came of a trial."""
        began = self._clock()
        try:
            yield
        finally:
            self.add(trial_id, {"tracking": self._clock() - began})

    def end(self, trial_id: str) -> dict[str, float]:
        """Column → seconds of a trial that has ended; nothing of one that never started."""
        spent, began = self._spent.pop(trial_id, {}), self._began.pop(trial_id, None)
        if began is None:
            return {}
        spent["idle"] = max(0.0, self._clock() - began - sum(spent.values()))
        return {column(part): spent.get(part, 0.0) for part in PARTS}


def column(part: str) -> str:
    """What a part is called in ``trials.csv`` and in MLflow."""
    return f"{part}_seconds"


#: In the order of ``trials.csv``.
COLUMNS = tuple(map(column, PARTS))
