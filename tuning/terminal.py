"""What a study shows while it runs: its stage, its trials, the best points so far and the time left.

A pure view. It reads nothing but what it is told, and nothing depends on what it shows. On a terminal it is live; in a
log file it writes a line when something changes; when quiet it writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from tuning.front_table import front_table, measured
from tuning.summary import final_summary

__all__ = ["Stage", "StudyView", "Trials", "duration", "final_summary"]

MAX_ROWS: Final = 6


@dataclass(frozen=True)
class Stage:
    """One step of a study.

    Args:
        name: what is done.
        total: parts that it has; None where it cannot be told.
        started: clock at its start, in seconds.
        done: parts that are done.
        skipped: parts that were done before it started, on a resume; they say nothing of the pace.
    """

    name: str
    total: int | None
    started: float
    done: int = 0
    skipped: int = 0

    def seconds_left(self, now: float) -> float | None:
        """Time left at the pace so far; None before there is a pace."""
        paced = self.done - self.skipped
        if self.total is None or paced <= 0:
            return None
        return max(0.0, (now - self.started) / paced * (self.total - self.done))


@dataclass(frozen=True)
class Trials:
    """Trials by state; ``done`` are those that completed or were cut off."""

    running: int
    done: int
    failed: int
    total: int

    def __str__(self) -> str:
        return f"{self.done + self.failed} of {self.total} trials, {self.running} running, {self.failed} failed"


class StudyView:
    """The view of one study, as a context.

    Args:
        console: where to write.
        name: the study's name.
        metrics: metrics of the table of best points; none means all that come with a standard error.
        quiet: whether to show nothing at all.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        console: Console,
        name: str,
        *,
        metrics: Sequence[str] = (),
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._name, self._metrics, self._quiet, self._clock = console, name, metrics, quiet, clock
        self._started = clock()
        self._stage: Stage | None = None
        self._trials: Trials | None = None
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._hypervolume: float | None = None
        live = console.is_terminal and not quiet
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=2) if live else None

    def __enter__(self) -> StudyView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins, of `total` parts where that is known."""
        self._stage = Stage(name, total, self._clock())
        self._log(f"{name}" if total is None else f"{name}: {total}")

    def advance(self) -> None:
        """One part of the stage is done."""
        if self._stage is not None:
            self._stage = replace(self._stage, done=self._stage.done + 1)
            self._log(self._progress(self._stage))

    def trials(self, running: int, done: int, failed: int, total: int) -> None:
        """How many trials are in which state; the stage is as far as they are."""
        before, self._trials = self._trials, Trials(running, done, failed, total)
        if self._stage is not None:
            ended = done + failed
            skipped = self._stage.skipped if self._stage.done else ended if before is None else 0
            self._stage = replace(self._stage, total=total, done=ended, skipped=skipped)
        if before is None or (before.done, before.failed) != (done, failed):
            self._log(f"{self._trials}{self._left()}")

    def front(self, rows: Sequence[Mapping[str, Any]], hypervolume: float) -> None:
        """The best points so far, and their normalised hypervolume in [0, 1]."""
        changed = hypervolume != self._hypervolume
        self._rows, self._hypervolume = rows, hypervolume
        if changed:
            self._log(f"front: {_counted(rows)}, hypervolume {hypervolume:.3f}")

    def message(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False)

    def render(self) -> RenderableType:
        """What is live on a terminal."""
        lines: list[RenderableType] = [self._headline()]
        if self._stage is not None and self._stage.total:
            lines.append(ProgressBar(total=self._stage.total, completed=self._stage.done, width=40))
        if self._trials is not None:
            lines.append(Text(str(self._trials)))
        if self._hypervolume is not None:
            lines.append(Text(f"front so far: {_counted(self._rows)}, hypervolume {self._hypervolume:.3f}"))
            lines.append(front_table(self._rows[:MAX_ROWS], self._metrics or measured(self._rows)))
        if len(self._rows) > MAX_ROWS:
            lines.append(Text(f"and {len(self._rows) - MAX_ROWS} more"))
        return Group(*lines)

    def _headline(self) -> Text:
        stage = "" if self._stage is None else f" · {self._progress(self._stage)}"
        return Text(f"{self._name}{stage} · {duration(self._clock() - self._started)} elapsed")

    def _progress(self, stage: Stage) -> str:
        count = "" if stage.total is None else f" {stage.done}/{stage.total}"
        return f"{stage.name}{count}{self._left()}"

    def _left(self) -> str:
        left = None if self._stage is None else self._stage.seconds_left(self._clock())
        return "" if left is None else f", about {duration(left)} left"

    def _log(self, text: str) -> None:
        """A line where nothing is live."""
        if self._live is None and not self._quiet:
            self.message(f"[{duration(self._clock() - self._started)}] {text}")


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _counted(rows: Sequence[object]) -> str:
    return "1 member" if len(rows) == 1 else f"{len(rows)} members"
