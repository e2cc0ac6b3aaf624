"""What a study shows while it runs: its stage, its trials, the best points so far and the time left.

A pure view. It reads nothing but what it is told, and nothing depends on what it shows. On a terminal it is live; in a
log file it writes a line when something changes, and each minute how far a long step is; when quiet it writes nothing.
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
from rich.table import Table
from rich.text import Text

from tuning.front_table import front_table, measured
from tuning.remaining import RemainingTime, duration, rounded

__all__ = ["Stage", "StudyView", "Trials"]

MAX_ROWS: Final = 6
BAR_WIDTH: Final = 40
#: Cells that a study's name keeps on a terminal that is too narrow.
MIN_NAME: Final = 8
#: Seconds between two lines of a log that say nothing but how far a stage is.
LINE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Stage:
    """One step of a study.

    Args:
        name: what is done.
        total: parts that it has; None where it cannot be told.
        done: parts that are done.
        share: of the whole step that is done, in [0, 1]; parts may differ in size, and be half done.
    """

    name: str
    total: int | None
    done: int = 0
    share: float = 0.0


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
        self._time = RemainingTime(self._started)
        self._last_line = self._started
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

    def stage(
        self, name: str, total: int | None = None, *, expected: float | None = None, limit: float | None = None
    ) -> None:
        """A new stage begins.

        Args:
            name: what is done.
            total: parts that it has, where that is known.
            expected: seconds that it is expected to take, where nothing is known of its own pace yet.
            limit: seconds after which it is asked to end.
        """
        self._stage = Stage(name, total)
        self._time = RemainingTime(self._clock(), expected=expected, limit=limit)
        self._log(f"{name}" if total is None else f"{name}: {total}")

    def advance(self) -> None:
        """One part of the stage is done, of parts that are alike."""
        if self._stage is not None:
            done = self._stage.done + 1
            self.reach(done, done / self._stage.total if self._stage.total else 0.0)

    def reach(self, done: int, share: float) -> None:
        """So many parts are done, and with what is done of the others so large a share of the stage."""
        if self._stage is not None:
            before, self._stage = self._stage, replace(self._stage, done=done, share=share)
            self._time.reach(share, self._clock())
            if done != before.done:
                self._log(self._progress(self._stage))
            elif share != before.share:
                self._log_now_and_then(self._progress(self._stage, f", {share:.0%} done"))

    def trials(self, running: int, done: int, failed: int, total: int, *, under_way: float = 0.0) -> None:
        """How many trials are in which state; the stage is as far as they are.

        Args:
            running: how many run.
            done: how many completed or were cut off.
            failed: how many failed.
            total: how many there will be.
            under_way: what those that run have done, in trials.
        """
        before, self._trials = self._trials, Trials(running, done, failed, total)
        share = min(1.0, (done + failed + under_way) / total) if total else 0.0
        if self._stage is not None:
            self._stage = replace(self._stage, total=total, done=done + failed, share=share)
            if before is None:
                self._time.set_out(share)
            self._time.reach(share, self._clock())
        if before is None or (before.done, before.failed) != (done, failed):
            self._log(f"{self._trials}{self._left()}")
        else:
            self._log_now_and_then(f"{self._trials}, {share:.0%} done{self._left()}")

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
        if self._stage is not None:
            lines.append(self._bar(self._stage))
        if self._trials is not None:
            lines.append(Text(str(self._trials)))
        if self._hypervolume is not None:
            lines.append(Text(f"front so far: {_counted(self._rows)}, hypervolume {self._hypervolume:.3f}"))
            lines.append(front_table(self._rows[:MAX_ROWS], self._metrics or measured(self._rows)))
        if len(self._rows) > MAX_ROWS:
            lines.append(Text(f"and {len(self._rows) - MAX_ROWS} more"))
        return Group(*lines)

    def _headline(self) -> Text:
        """One line: where the terminal is too narrow for all of it, a part of the name gives way."""
        stage = "" if self._stage is None else f" · {_counted_stage(self._stage)}"
        rest = Text(f"{stage} · {duration(self._clock() - self._started)} elapsed")
        name = Text(self._name)
        name.truncate(max(MIN_NAME, self._console.width - rest.cell_len), overflow="ellipsis")
        return Text.assemble(name, rest)

    def _bar(self, stage: Stage) -> RenderableType:
        """How far a stage is; of one that has no parts only that it goes on."""
        if stage.total is None:
            return ProgressBar(total=None, width=BAR_WIDTH)
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=stage.share, width=BAR_WIDTH)
        line.add_row(bar, Text(f"{stage.share:.0%}{self._left()}"))
        return line

    def _progress(self, stage: Stage, more: str = "") -> str:
        return f"{_counted_stage(stage)}{more}{self._left()}"

    def _left(self) -> str:
        left = self._time.seconds_left(self._clock())
        return "" if left is None else f", about {duration(rounded(left))} left"

    def _log(self, text: str) -> None:
        """A line where nothing is live."""
        if self._live is None and not self._quiet:
            self._last_line = self._clock()
            self.message(f"[{duration(self._last_line - self._started)}] {text}")

    def _log_now_and_then(self, text: str) -> None:
        """The same, of what changes all the time."""
        if self._clock() - self._last_line >= LINE_SECONDS:
            self._log(text)


def _counted_stage(stage: Stage) -> str:
    return stage.name if stage.total is None else f"{stage.name} {stage.done}/{stage.total}"


def _counted(rows: Sequence[object]) -> str:
    return "1 member" if len(rows) == 1 else f"{len(rows)} members"
