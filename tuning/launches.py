"""What events say of each launch of a study: when it ran, how it ended, how fast it went and where its time went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tuning.events import Event, EventName

_HOUR: Final = 3600.0


@dataclass(frozen=True)
class Rate:
    """Trials that ended and reports that came in an hour."""

    trials_per_hour: float
    reports_per_hour: float


@dataclass(frozen=True)
class Seconds:
    """Seconds of all slots together, from the first trial's start to the last word of a trial.

    Attributes:
        training: optimiser steps, of reports that came.
        evaluation: measuring, of reports that came.
        other: inside of trials and neither: loading, saving, and what was cut off or has not reported yet.
        idle: without a trial. Slots are as many as trials that ran at once.
    """

    training: float
    evaluation: float
    other: float
    idle: float


@dataclass
class Stage:
    """The stage that a launch is in."""

    name: str
    began: datetime
    done: int = 0
    total: int | None = None


@dataclass
class Launch:
    """One process's part of a study.

    Attributes:
        began: when it was started.
        last: its last event.
        facts: what it said of itself when it was started.
        stage: the one that it is in, or ended in.
        end: how it ended; None while it runs, and where it was killed.
        reason: why it failed.
        reports: when reports came.
        ends: when trials ended.
        first_trial: when the first of them started.
        peak_memory_gb: of the largest worker, as reports have it.
    """

    began: datetime
    last: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)
    stage: Stage | None = None
    end: str | None = None
    reason: str = ""
    reports: list[datetime] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)
    first_trial: datetime | None = None
    peak_memory_gb: float = 0.0
    _last_of_trials: datetime | None = None
    _open: dict[str, datetime] = field(default_factory=dict)
    _inside: float = 0.0
    _slots: int = 0
    _training: float = 0.0
    _evaluation: float = 0.0

    def take(self, event: Event) -> None:
        """One event more."""
        self.last = event.time
        if event.name == EventName.STAGE:
            self._enter(event)
        elif event.name in (EventName.FINISHED, EventName.INTERRUPTED, EventName.FAILED):
            self.end, self.reason = event.name, str(event.facts.get("reason", ""))
        elif event.trial_id is not None:
            self._take_of_trial(event, event.trial_id)

    def _enter(self, event: Event) -> None:
        name, done, total = (event.facts.get(key) for key in ("stage", "done", "total"))
        if self.stage is None or self.stage.name != name:
            self.stage = Stage(str(name), event.time)
        self.stage.done = done if isinstance(done, int) else 0
        self.stage.total = total if isinstance(total, int) else None

    def _take_of_trial(self, event: Event, trial_id: str) -> None:
        self._last_of_trials = event.time
        if event.name in (EventName.TRIAL_STARTED, EventName.RESUMED, EventName.RETRIED):
            self.first_trial = self.first_trial or event.time
            self._open.setdefault(trial_id, event.time)
            self._slots = max(self._slots, len(self._open))
        elif event.name == EventName.REPORT:
            self.reports.append(event.time)
            self._training += _number(event, "training_seconds")
            self._evaluation += _number(event, "evaluation_seconds")
            self.peak_memory_gb = max(self.peak_memory_gb, _number(event, "peak_memory_gb"))
        elif event.name == EventName.TRIAL_ENDED:
            self.ends.append(event.time)
            if (began := self._open.pop(trial_id, None)) is not None:
                self._inside += (event.time - began).total_seconds()

    @property
    def search_seconds(self) -> float:
        """From the first trial's start to the last word of a trial."""
        if self.first_trial is None or self._last_of_trials is None:
            return 0.0
        return (self._last_of_trials - self.first_trial).total_seconds()

    @property
    def seconds(self) -> Seconds:
        """Where the time of its trials went."""
        last = self._last_of_trials or self.last
        inside = self._inside + sum((last - began).total_seconds() for began in self._open.values())
        other = max(0.0, inside - self._training - self._evaluation)
        return Seconds(self._training, self._evaluation, other, max(0.0, self._slots * self.search_seconds - inside))


def launches(events: Iterable[Event]) -> list[Launch]:
    """The launches that events tell of, in their order. Without a beginning, the first event is one."""
    found: list[Launch] = []
    for event in events:
        if event.name == EventName.STUDY_STARTED or not found:
            found.append(Launch(event.time, event.time, event.facts if event.name == EventName.STUDY_STARTED else {}))
        found[-1].take(event)
    return found


def total_seconds(of: Iterable[Launch]) -> Seconds | None:
    """All launches together; None where no trial was started."""
    parts = [launch.seconds for launch in of if launch.first_trial is not None]
    if not parts:
        return None
    return Seconds(
        *(sum(getattr(part, name) for part in parts) for name in ("training", "evaluation", "other", "idle"))
    )


def overall_rate(of: Iterable[Launch]) -> Rate | None:
    """Over the time in which trials ran; None where there is none."""
    known = list(of)
    seconds = sum(launch.search_seconds for launch in known)
    if seconds <= 0:
        return None
    ends, reports = sum(len(launch.ends) for launch in known), sum(len(launch.reports) for launch in known)
    return Rate(ends / seconds * _HOUR, reports / seconds * _HOUR)


def recent_rate(launch: Launch, now: datetime, window_seconds: float = _HOUR) -> Rate | None:
    """Over the last ``window_seconds`` of a launch whose trials run; None before the first has been started."""
    if launch.first_trial is None:
        return None
    since = max(now - timedelta(seconds=window_seconds), launch.first_trial)
    hours = (now - since).total_seconds() / _HOUR
    if hours <= 0:
        return None
    return Rate(*(sum(time >= since for time in times) / hours for times in (launch.ends, launch.reports)))


def _number(event: Event, name: str) -> float:
    value = event.facts.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
