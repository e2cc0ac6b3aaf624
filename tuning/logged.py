"""Writes a study's events while it runs: whatever its view is told, and whatever its records acknowledge.

Both go through one place already, so that nothing else has to know of the log.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from tuning.events import EventLog, EventName, read_events
from tuning.files import StudyFiles
from tuning.heartbeat import Heartbeat
from tuning.problems import redact
from tuning.versions import differences, versions

if TYPE_CHECKING:
    from tuning.schema import StudyConfig

#: What is noted of a report, where it has it; its measurements stand in reports.csv.
OF_A_REPORT: Final = (
    "step", "rung", "training_seconds", "evaluation_seconds", "peak_memory_gb", "feasible", "violation",
)  # fmt: skip

#: Parts of a stage of which each is kept as an event; of more at most one a second.
FEW_PARTS: Final = 100


class Progress(Protocol):
    """What shows a study's progress."""

    def stage(
        self, name: str, total: int | None = None, *, expected: float | None = None, limit: float | None = None
    ) -> None: ...

    def advance(self) -> None: ...

    def reach(self, done: int, share: float) -> None: ...

    def trials(self, running: int, done: int, failed: int, total: int, *, under_way: float = 0.0) -> None: ...

    def front(self, rows: Sequence[Mapping[str, Any]], hypervolume: float) -> None: ...

    def message(self, text: str) -> None: ...


class LoggedView:
    """A view whose stages, messages and fronts are kept as events.

    Args:
        view: shows them.
        log: keeps them.
    """

    def __init__(self, view: Progress, log: EventLog) -> None:
        self._view, self.log = view, log
        self._stage, self._done = "", 0
        self._logged = -math.inf  # clock of the last stage event
        self._total: int | None = None
        self._hypervolume: float | None = None

    def stage(
        self, name: str, total: int | None = None, *, expected: float | None = None, limit: float | None = None
    ) -> None:
        self._stage, self._total, self._done = name, total, 0
        self._log_stage()
        self._view.stage(name, total, expected=expected, limit=limit)

    def advance(self) -> None:
        self._count(self._done + 1)
        self._view.advance()

    def reach(self, done: int, share: float) -> None:
        self._count(done)
        self._view.reach(done, share)

    def trials(self, running: int, done: int, failed: int, total: int, *, under_way: float = 0.0) -> None:
        self._view.trials(running, done, failed, total, under_way=under_way)

    def front(self, rows: Sequence[Mapping[str, Any]], hypervolume: float) -> None:
        if hypervolume != self._hypervolume:
            self._hypervolume = hypervolume
            self.log.write(EventName.FRONT, {"members": len(rows), "hypervolume": float(hypervolume)})
        self._view.front(rows, hypervolume)

    def message(self, text: str) -> None:
        self.log.write(EventName.MESSAGE, {"text": text})
        self._view.message(text)

    def _count(self, done: int) -> None:
        """Keep that so many parts are done; where they are very many, not each of them."""
        changed, self._done = done != self._done, done
        is_one_of_few = self._total is None or self._total <= FEW_PARTS or done == self._total
        if changed and (is_one_of_few or time.monotonic() - self._logged >= 1.0):
            self._log_stage()

    def _log_stage(self) -> None:
        self._logged = time.monotonic()
        self.log.write(EventName.STAGE, {"stage": self._stage, "done": self._done, "total": self._total})


class TrialEvents:
    """Hears of trials and reports from the records, once each is on disk.

    Args:
        log: keeps them.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._started: set[str] = set()  # by this process

    def trial_started(self, trial_id: str, config: Mapping[str, Any], steps: Sequence[int] | None) -> None:
        """A trial runs; ``steps`` are those at which it has reported, None of a trial that nobody knew."""
        name = (
            EventName.RETRIED
            if trial_id in self._started
            else EventName.TRIAL_STARTED
            if steps is None
            else EventName.RESUMED
        )
        self._started.add(trial_id)
        after = {} if name == EventName.TRIAL_STARTED else {"after_step": max(steps or (0,))}
        self._log.write(name, {"method": config.get("method", ""), **after}, trial_id)

    def reported(self, report: Mapping[str, Any]) -> None:
        """A report was acknowledged."""
        facts = {name: report[name] for name in OF_A_REPORT if name in report}
        self._log.write(EventName.REPORT, facts, str(report["trial_id"]))

    def trial_ended(self, trial_id: str, state: str, reason: str, seconds: float | None) -> None:
        """A trial ended."""
        self._log.write(EventName.TRIAL_ENDED, {"state": state, "reason": reason, "seconds": seconds}, trial_id)


class _Warnings(logging.Handler):
    """Shows the project's warnings in the view, and with that keeps them as events."""

    def __init__(self, view: LoggedView) -> None:
        super().__init__(logging.WARNING)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._view.message(redact(f"{record.levelname.lower()}: {record.getMessage()}"))
        except Exception:  # as handlers do: who warns must not fail of it
            self.handleError(record)


@contextmanager
def study_log(config: StudyConfig, files: StudyFiles, view: Progress, *, resume: bool) -> Iterator[LoggedView]:
    """The view of a study that runs from here to the end of the context, whose events are kept.

    While it runs it gives signs of life. A study that is resumed by other code than it last ran by says so.
    """
    log, before, now = EventLog(files.events), _last_versions(files), versions()
    logged = LoggedView(view, log)
    start = {"resumed": resume, "num_trials": config.num_trials, "pid": os.getpid(), "host": socket.gethostname()}
    with Heartbeat(files), _warnings_to(logged):
        log.write(EventName.STUDY_STARTED, {**start, "versions": now})
        if resume and (changed := differences(before, now)):
            logged.message(f"resumed by other versions than the study last ran by: {', '.join(changed)}")
        try:
            yield logged
        except KeyboardInterrupt:
            log.write(EventName.INTERRUPTED)
            raise
        except BaseException as error:
            log.write(EventName.FAILED, {"reason": _reason(error)})
            raise
        log.write(EventName.FINISHED)


@contextmanager
def _warnings_to(view: LoggedView) -> Iterator[None]:
    project, handler = logging.getLogger(__package__), _Warnings(view)
    project.addHandler(handler)
    try:
        yield
    finally:
        project.removeHandler(handler)


def _last_versions(files: StudyFiles) -> Mapping[str, object]:
    starts = [
        event.facts.get("versions") for event in read_events(files.events) if event.name == EventName.STUDY_STARTED
    ]
    return starts[-1] if starts and isinstance(starts[-1], Mapping) else {}


def _reason(error: BaseException) -> str:
    """The text of the driver's own errors; of others', which may quote a prompt, the kind alone."""
    own = type(error).__module__.partition(".")[0] == __package__
    return f"{type(error).__name__}: {error}" if own else type(error).__name__
