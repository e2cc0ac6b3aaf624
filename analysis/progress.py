"""How far a long piece of work is: a bar with the remaining time on a terminal, lines in a log, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tuning.remaining import RemainingTime, duration, rounded

#: Seconds between two lines in a log.
PERIOD: Final = 30.0
Made = TypeVar("Made")


class Watch(Protocol):
    """What is told of the work as it is done."""

    def total(self, rows: int) -> None:
        """How many rows there will be in all, about."""

    def stage(self, name: str) -> None:
        """What begins now."""

    def advance(self, rows: int) -> None:
        """Rows are done."""


class Quiet:
    """Says nothing."""

    def total(self, rows: int) -> None:
        pass

    def stage(self, name: str) -> None:
        pass

    def advance(self, rows: int) -> None:
        pass


class Lines:
    """A line for each stage, and every half minute, with the time that is left at the pace so far.

    Args:
        console: where they go.
        clock: seconds, of a clock that does not go back.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._rows, self._done, self._name = 0, 0, ""
        self._said = clock()
        self._time = RemainingTime(self._said)

    def total(self, rows: int) -> None:
        self._rows, self._time = rows, RemainingTime(self._clock())

    def stage(self, name: str) -> None:
        self._name = name
        self._say()

    def advance(self, rows: int) -> None:
        self._done += rows
        if self._rows:
            self._time.reach(min(self._done / self._rows, 1.0), self._clock())
        if self._clock() - self._said >= PERIOD:
            self._say()

    def _say(self) -> None:
        self._said = self._clock()
        self._console.print(f"{self._name}{self._left()}", markup=False, highlight=False)

    def _left(self) -> str:
        if not (self._rows and self._done):
            return ""
        left = self._time.seconds_left(self._said)
        done = f": {min(self._done / self._rows, 1):.0%} done"
        return done if left is None else f"{done}, about {duration(rounded(left))} left"


class Bar:
    """One line that is drawn over, with the remaining time.

    Args:
        progress: of rich, running.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def total(self, rows: int) -> None:
        self._progress.update(self._task, total=rows)

    def stage(self, name: str) -> None:
        self._progress.update(self._task, description=name)

    def advance(self, rows: int) -> None:
        self._progress.advance(self._task, rows)


def each(watch: Watch, makers: Iterable[Callable[[], Made]]) -> list[Made]:
    """What `makers` make, one after the other, of which `watch` is told."""
    made = []
    for make in makers:
        made.append(make())
        watch.advance(1)
    return made


@contextmanager
def watching(console: Console, quiet: bool) -> Iterator[Watch]:
    """A bar on a terminal, else lines; nothing where `quiet`."""
    if quiet:
        yield Quiet()
    elif not console.is_terminal:
        yield Lines(console)
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        with Progress(*columns, TimeRemainingColumn(compact=True), console=console, transient=True) as progress:
            yield Bar(progress)
