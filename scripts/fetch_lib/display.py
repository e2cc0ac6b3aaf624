"""What is shown while something is fetched: a bar on a terminal, and one line for each thing that happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn


class Meter:
    """The bar of one job, in bytes."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def expect(self, total: int | None) -> None:
        """Set what 100% is; None where it cannot be told."""
        self._progress.update(self._task, total=total)

    def reach(self, done: int) -> None:
        """Set what is done; it may go back."""
        self._progress.update(self._task, completed=done)

    def advance(self, more: float) -> None:
        """Add to what is done."""
        self._progress.advance(self._task, more)


class Display:
    """Bars that vanish when their job is done, and lines that stay."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def meter(self, job: str) -> Iterator[Meter]:
        """The bar of a job, shown as long as the context lasts; nothing where output is no terminal."""
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), SpeedColumn())
        terminal = self._console.is_terminal
        with Progress(
            *columns, TimeRemainingColumn(), console=self._console, transient=True, disable=not terminal
        ) as progress:
            yield Meter(progress, progress.add_task(job, total=None))
