"""How a study stands, from its files alone: no service is asked, and they may be written meanwhile, or torn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from analysis.front import hypervolume, pareto_front
from analysis.growing_front import GrowingFront
from analysis.load import Study, StudyError, load_study
from analysis.table import rows
from tuning.config import resume_command
from tuning.events import EventName, read_events
from tuning.heartbeat import running_beat
from tuning.launches import Launch, Rate, Seconds, launches, overall_rate, recent_rate, total_seconds
from tuning.records import TrialState

RUNNING: Final = "running"
FINISHED: Final = str(EventName.FINISHED)
INTERRUPTED: Final = str(EventName.INTERRUPTED)
FAILED: Final = str(EventName.FAILED)
UNREADABLE: Final = "unreadable"
#: The stage in which trials run, of which trials.csv tells more than the stage does.
TRIALS: Final = "trials"
#: Numbers of trials at which the hypervolume is looked at, at most.
MAX_POINTS: Final = 40


@dataclass(frozen=True)
class StudyStatus:
    """One study at one moment.

    Attributes:
        name: of the study.
        state: ``running``, ``finished``, ``interrupted`` (stopped, or killed), ``failed`` or ``unreadable``.
        reason: why it failed or cannot be read.
        stage: what a running one does, with how much of it is done.
        num_trials: as many as were asked for.
        trials: state → how many. Those that an interrupted study left behind as running are STOPPED.
        num_reports: of all trials.
        recent, overall: throughput over the last hour of a running study, and of all launches.
        num_members, hypervolume: of the front, re-measured where the study is finished; None where it is not known.
        seconds_left: until all trials have ended or the time budget is over, at the pace of the last hour.
        started, updated: when it was launched last, and its last event.
        details: what is shown of a study that is asked for by name.
    """

    name: str
    state: str
    reason: str = ""
    stage: str = ""
    num_trials: int = 0
    trials: Mapping[str, int] | None = None
    num_reports: int = 0
    recent: Rate | None = None
    overall: Rate | None = None
    num_members: int | None = None
    hypervolume: float | None = None
    seconds_left: float | None = None
    started: datetime | None = None
    updated: datetime | None = None
    details: StudyDetails | None = None

    @property
    def num_ended(self) -> int:
        """Trials that will not go on by themselves."""
        return sum(count for state, count in (self.trials or {}).items() if state != TrialState.RUNNING)


@dataclass(frozen=True)
class StudyDetails:
    """More of one study.

    Attributes:
        directory: where it is.
        methods: method → state → how many trials.
        failures: reason → how many trials failed of it.
        endings: reason → how many complete trials ended early for it.
        metrics: those of the front's columns.
        front: its members.
        is_remeasured: whether their values are those of the second measurement.
        growth: (number of trials, hypervolume of the front of the first that many), rising; empty where unknown.
        seconds: where the time of trials went; None where nothing says so.
        peak_memory_gb: of the largest worker; 0 where nothing says so.
        num_launches: how often it was started.
        versions: by which code it ran last.
        resume: what to type to go on with it; None while it runs and when it is finished.
    """

    directory: str
    methods: Mapping[str, Mapping[str, int]]
    failures: Mapping[str, int]
    endings: Mapping[str, int]
    metrics: Sequence[str]
    front: Sequence[Mapping[str, Any]]
    is_remeasured: bool
    growth: Sequence[tuple[int, float]]
    seconds: Seconds | None
    peak_memory_gb: float
    num_launches: int
    versions: Mapping[str, Any]
    resume: str | None


def study_status(root: Path, *, detailed: bool = False, now: datetime | None = None) -> StudyStatus:
    """How the study in a directory stands.

    Args:
        root: ``<storage-path>/<name>``.
        detailed: whether to fill in ``details``.
        now: the moment; by default this one.

    Raises:
        StudyError: there is no study, or one of its files cannot be read.
    """
    try:
        return _status(load_study(root), detailed, now or datetime.now(UTC))
    except OSError as error:
        raise StudyError(f"the files of a study must be readable, but got {error}; check their permissions") from None
    except (KeyError, ValueError) as error:
        rule = f"the tables of {root} must have the columns that its study.yaml asks for, but {error.args[0]}"
        raise StudyError(f"{rule}; put the files of one study back together") from None


def _status(study: Study, detailed: bool, now: datetime) -> StudyStatus:
    known = launches(read_events(study.files.events))
    is_running = running_beat(study.files, now) is not None
    last = known[-1] if known and is_running else None
    state, reason = _state(study, known, is_running)
    trials = _trials(study, is_running)
    front, value = _front(study, state == FINISHED)
    status = StudyStatus(
        name=study.name,
        state=state,
        reason=reason,
        stage=_stage(last),
        num_trials=study.config.num_trials,
        trials=_counts(trials["state"]),
        num_reports=len(study.reports),
        recent=recent_rate(last, now) if last and _runs_trials(last) else None,
        overall=overall_rate(known),
        num_members=None if front is None else len(front),
        hypervolume=value,
        seconds_left=_seconds_left(study, last, len(trials) - int((trials["state"] == TrialState.RUNNING).sum()), now),
        started=known[-1].began if known else None,
        updated=known[-1].last if known else None,
    )
    return _with_details(status, study, trials, front, known) if detailed else status


def _state(study: Study, known: Sequence[Launch], is_running: bool) -> tuple[str, str]:
    """Without a sign of life the last launch's own word counts; without one, whether all files of the end are there."""
    if is_running:
        return RUNNING, ""
    if known:
        end = known[-1].end
        return (end, known[-1].reason) if end in (FINISHED, FAILED) else (INTERRUPTED, "")
    return (FINISHED if study.is_finished and study.files.timing.is_file() else INTERRUPTED), ""


def _stage(launch: Launch | None) -> str:
    if launch is None or launch.stage is None:
        return ""
    stage = launch.stage
    return stage.name if not stage.total or _runs_trials(launch) else f"{stage.name} {stage.done}/{stage.total}"


def _runs_trials(launch: Launch) -> bool:
    return launch.stage is not None and launch.stage.name == TRIALS


def _trials(study: Study, is_running: bool) -> pd.DataFrame:
    trials = study.trials.reindex(columns=["trial_id", "state", "reason", "method"]).fillna("")
    return trials if is_running else trials.replace({"state": {str(TrialState.RUNNING): str(TrialState.STOPPED)}})


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values.tolist()).most_common()}


def _front(study: Study, is_finished: bool) -> tuple[pd.DataFrame | None, float | None]:
    """The members and their hypervolume, each None where it cannot be told yet."""
    if is_finished and not study.front.empty:
        return study.front, _hypervolume(study, study.front, study.untouched)
    if not study.search_reference:
        return None, None
    if study.points.empty:
        return study.points, _hypervolume(study, study.points, study.search_reference)
    members = pareto_front(study.points, study.objectives, study.constraints, study.search_reference)
    return members, _hypervolume(study, members, study.search_reference)


def _hypervolume(study: Study, members: pd.DataFrame, reference: Mapping[str, float]) -> float | None:
    ideal = study.ideal
    if ideal is None:
        return None
    return 0.0 if members.empty else hypervolume(members, study.objectives, reference, ideal)


def _seconds_left(study: Study, launch: Launch | None, ended: int, now: datetime) -> float | None:
    """Of the trials; what comes after them is not counted."""
    if launch is None or not _runs_trials(launch):
        return None
    rate = recent_rate(launch, now) or overall_rate([launch])
    left = []
    if rate is not None and rate.trials_per_hour > 0:
        left.append(max(0, study.config.num_trials - ended) / rate.trials_per_hour * 3600)
    if study.config.time_budget is not None and launch.first_trial is not None:
        left.append(max(0.0, study.config.time_budget - (now - launch.first_trial).total_seconds()))
    return min(left, default=None)


def _with_details(
    status: StudyStatus, study: Study, trials: pd.DataFrame, front: pd.DataFrame | None, known: Sequence[Launch]
) -> StudyStatus:
    def reasons(state: TrialState) -> dict[str, int]:
        return _counts(trials.loc[(trials["state"] == state) & (trials["reason"] != ""), "reason"])

    details = StudyDetails(
        directory=str(study.files.root),
        methods={str(method): _counts(of["state"]) for method, of in trials.groupby("method")},
        failures=reasons(TrialState.FAIL),
        endings=reasons(TrialState.COMPLETE),
        metrics=list(study.config.judged_metrics),
        front=[] if front is None else rows(front),
        is_remeasured=status.state == FINISHED and not study.front.empty,
        growth=_growth(study),
        seconds=total_seconds(known),
        peak_memory_gb=max((launch.peak_memory_gb for launch in known), default=0.0),
        num_launches=len(known),
        versions=known[-1].facts.get("versions", {}) if known else {},
        resume=None if status.state in (RUNNING, FINISHED) else resume_command(study.config),
    )
    return replace(status, details=details)


def _growth(study: Study) -> list[tuple[int, float]]:
    """The hypervolume of the front of the first trials that reported, for growing numbers of them.

    Where settings were repeated, of the first settings, each with the means over all of its runs.
    """
    if study.points.empty or study.ideal is None:
        return []
    front = GrowingFront(study.goals)
    trials = groupby(sorted(rows(study.points), key=_place), key=_place)
    growth = []
    for count, (_, points) in enumerate(trials, start=1):
        for point in points:
            front.add(point)
        growth.append((count, front.hypervolume))
    chosen = np.unique(np.linspace(0, len(growth) - 1, MAX_POINTS).round().astype(int))
    return [growth[position] for position in chosen.tolist()]


def _place(row: Mapping[str, Any]) -> tuple[int, str]:
    return len(row["trial_id"]), row["trial_id"]
