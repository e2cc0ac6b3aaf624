"""What is shown while something is fetched: a bar on a terminal, and one line for each thing that happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn

#: Seconds between two lines of how far a job is, where no bar can be drawn.
LINE_SECONDS: Final = 60.0


class Meter:
    """How far one job is, in bytes.

    Args:
        progress: draws the bar, or only keeps count.
        task: of the job.
        say: takes a line now and then; None where the bar says it.
    """

    def __init__(self, progress: Progress, task: TaskID, say: Callable[[str], None] | None = None) -> None:
        self._progress, self._task, self._say = progress, task, say
        self._said = progress.get_time()

    def expect(self, total: int | None) -> None:
        """Set what 100% is; None where it cannot be told."""
        self._progress.update(self._task, total=total)

    def reach(self, done: int) -> None:
        """Set what is done; it may go back."""
        self._progress.update(self._task, completed=done)
        self._say_now_and_then()

    def advance(self, more: float) -> None:
        """Add to what is done."""
        self._progress.advance(self._task, more)
        self._say_now_and_then()

    def _say_now_and_then(self) -> None:
        if self._say is None or self._progress.get_time() - self._said < LINE_SECONDS:
            return
        self._said = self._progress.get_time()
        job = self._progress.tasks[0]
        whole = "" if job.total is None else f" of {decimal(int(job.total))}"
        left = "" if not job.time_remaining else f", about {round(job.time_remaining / 60) or 1} min left"
        self._say(f"{job.description}: {decimal(int(job.completed))}{whole}{left}")


class Display:
    """Bars that vanish when their job is done, and lines that stay.

    Args:
        console: where to write; one that is quiet writes nothing.
        clock: seconds that never run backwards.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def meter(self, job: str) -> Iterator[Meter]:
        """The bar of a job, shown as long as the context lasts; where output is no terminal, a line a minute."""
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), SpeedColumn())
        bar = self._console.is_terminal and not self._console.quiet
        with Progress(
            *columns,
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not bar,
            get_time=self._clock,
        ) as progress:
            yield Meter(progress, progress.add_task(job, total=None), None if bar else self.line)
