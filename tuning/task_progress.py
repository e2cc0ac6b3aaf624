"""How far a task is, told by its worker and read by the driver while it runs.

It goes through the key-value store of Ray's head, which every worker talks to anyway: a few bytes, at most once a
second, from a thread of its own while a network is watched. No process is needed for it, and what a lost worker told
stays until the task runs again elsewhere and tells anew. What cannot be told is let go.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from ray.experimental import internal_kv
from torch import nn

from metrics.accounting import told_of_rows
from metrics.expected import work_of

NAMESPACE: Final = b"data_unlearning_search"
PERIOD_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Teller:
    """What a worker tells by; travels with the task.

    Attributes:
        key: of the task.
        rows: network rows that the task is expected to take, a differentiated one counting three times.
    """

    key: str
    rows: float

    def tell(self, rows: float, expected: float) -> None:
        """So many of the expected rows are done."""
        with suppress(Exception):  # of gRPC, of a head that is busy or gone: the task itself finds out
            told = f"{rows} {expected}".encode()
            internal_kv._internal_kv_put(self.key.encode(), told, overwrite=True, namespace=NAMESPACE)


@contextmanager
def watching(network: nn.Module, teller: Teller | None, rows: float | None = None) -> Iterator[None]:
    """Tell how many rows go through ``network`` while the body runs.

    Args:
        network: the model at work; what it computes does not change.
        teller: None tells nobody.
        rows: expected, where the worker knows better.
    """
    if teller is None:
        yield
        return
    done, ended, expected = 0, threading.Event(), teller.rows if rows is None else rows

    def count(of_pass: int) -> None:
        nonlocal done
        done += work_of(of_pass)

    def tell() -> None:
        while not ended.wait(PERIOD_SECONDS):
            teller.tell(done, expected)

    thread = threading.Thread(target=tell, name="telling", daemon=True)
    thread.start()
    try:
        with told_of_rows(network, count):
            yield
    finally:
        ended.set()
        thread.join(PERIOD_SECONDS)


def now_and_then(
    tell: Callable[[float, float], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[float, float], None]:
    """`tell`, called at most once in `PERIOD_SECONDS`: what it is not told is let go."""
    last = -math.inf

    def told(rows: float, expected: float) -> None:
        nonlocal last
        if clock() - last >= PERIOD_SECONDS:
            last = clock()
            tell(rows, expected)

    return told


class Listening:
    """What the driver hears of tasks, as a context that leaves nothing behind.

    Args:
        rows: network rows that each task is expected to take; None where that is not known.
    """

    def __init__(self, rows: Sequence[float | None]) -> None:
        known = [count for count in rows if count]
        typical = sum(known) / len(known) if known else 1.0
        name = uuid.uuid4().hex
        self.tellers = [Teller(f"{name}-{index}", count or typical) for index, count in enumerate(rows)]
        self._rows = [teller.rows for teller in self.tellers]  # expected, by the latest word

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # the head may be gone already
            for teller in self.tellers:
                internal_kv._internal_kv_del(teller.key.encode(), namespace=NAMESPACE)

    def share(self, done: set[int]) -> float:
        """Of all tasks together, in [0, 1]; ``done`` are the positions of those that have ended."""
        reached = [self._rows[index] if index in done else self._heard(index) for index in range(len(self.tellers))]
        return sum(reached) / sum(self._rows)

    def _heard(self, index: int) -> float:
        """Rows of a task that runs, not more than it was expected to take."""
        with suppress(Exception):  # it is asked again in a moment
            told = internal_kv._internal_kv_get(self.tellers[index].key.encode(), namespace=NAMESPACE)
            if told:
                rows, self._rows[index] = map(float, told.split())
                return min(rows, self._rows[index])
        return 0.0
