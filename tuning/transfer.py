"""What one study's files tell another study: its finished trials and its front, in terms that hold for any model.

A scaled parameter is a ratio to a gradient norm of the study's own model, so that it means the same for another model.
An objective becomes a gain (0 the untouched model, 1 the ideal; `analysis.hypervolume`), a constraint the relative
excess over its bound. The study is read as it lies on the disk; nothing of it has to run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.front import pareto_front
from analysis.hypervolume import gains
from analysis.load import Study, StudyError
from analysis.table import rows
from tuning.constraints import bound_value
from tuning.goals import Constraint, Objective
from tuning.judging import Goals
from tuning.outcome import Outcome, essence, judge
from tuning.records import TrialState
from tuning.translation import LeftOutError, translated

#: State of a trial that cannot be taken → the reason.
_NOT_TAKEN: Mapping[str, str] = {
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "not finished",
    TrialState.STOPPED: "cut off",
}


@dataclass(frozen=True)
class Target:
    """The study that takes: in whose terms another study's trials are said."""

    methods: tuple[str, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    fix: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownTrial:
    """A finished trial of another study.

    Attributes:
        trial_id: its id there.
        step: step of the report that stands for it.
        method: a method of the target.
        settings: sampled name → value, of every parameter that the target leaves open.
        gains: metric of an objective → gain, not clipped.
        constraints: as `Goals.constraint_values`; at most 0 is feasible.
    """

    trial_id: str
    step: int
    method: str
    settings: Mapping[str, float]
    gains: Mapping[str, float]
    constraints: Mapping[str, float]


@dataclass(frozen=True)
class Transfer:
    """What is taken of one study.

    Attributes:
        study: its directory.
        trials: those taken, by id.
        left_out: reason → number of trials that were not taken.
        front: settings of its front, in the order of the front, each once: ``{"method": …, sampled name: value}``.
    """

    study: str
    trials: tuple[KnownTrial, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    front: tuple[Mapping[str, str | float], ...] = ()

    def __str__(self) -> str:
        return (
            f"warm start from {self.study}: {_counted(len(self.trials), 'trial')} known, {self.omissions}; "
            f"{_counted(len(self.front), 'setting')} of its front to try first"
        )

    @property
    def omissions(self) -> str:
        """How many trials were left out, and why."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return f"{sum(self.left_out.values())} left out ({reasons})" if reasons else "none left out"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def transfer(study: Study, target: Target) -> Transfer:
    """What a study knows, in the target's terms.

    Raises:
        StudyError: one of its tables cannot be read, or it has no ideal to measure gains by.
    """
    if study.trials.empty:
        return Transfer(str(study.files.root))
    _check_tables(study)
    goals = _goals(study, target)
    reports = {name: [essence(row, goals) for row in own] for name, own in _by_trial(study.reports)}
    taken, left_out = [], Counter[str]()
    for trial in rows(study.trials):
        try:
            taken.append(_Ended(trial, _settings_of(trial, study, target), _outcome(trial, study, goals, reports)))
        except LeftOutError as reason:
            left_out[str(reason)] += 1
    return Transfer(str(study.files.root), _known(taken, goals), dict(left_out), tuple(_front(study, target)))


@dataclass(frozen=True)
class _Ended:
    """A trial that is taken: its row of ``trials.csv``, its settings here, and the report that stands for it."""

    row: Mapping[str, Any]
    settings: Mapping[str, float]
    outcome: Outcome


def _known(taken: Sequence[_Ended], goals: Goals) -> tuple[KnownTrial, ...]:
    if not taken:
        return ()
    reports = [dict(trial.outcome.report or {}) for trial in taken]
    values = gains(pd.DataFrame(reports), goals.objectives, goals.baseline, goals.ideal)
    return tuple(
        KnownTrial(
            trial_id=str(trial.row["trial_id"]),
            step=int(report["step"]),
            method=str(trial.row["method"]),
            settings=trial.settings,
            gains={o.metric: float(value) for o, value in zip(goals.objectives, of_trial, strict=True)},
            constraints=dict(trial.outcome.constraints),
        )
        for trial, report, of_trial in zip(taken, reports, values, strict=True)
    )


def _check_tables(study: Study) -> None:
    """Whether the tables have what names a trial and a report.

    Raises:
        StudyError: they have not.
    """
    needed = ((study.files.trials, study.trials, ()), (study.files.reports, study.reports, ("step", "rung")))
    for path, table, numbers in needed:
        columns = ("trial_id", *numbers) if numbers else ("trial_id", "state", "method")
        broken = [name for name in columns if name not in table]
        broken += [name for name in numbers if name in table and not _is_whole(table[name])]
        if broken and not (table.empty and not path.is_file()):
            raise StudyError(f"{path} must be a table that a study wrote, but its {', '.join(broken)} cannot be read")


def _is_whole(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and column.notna().all())


def _goals(study: Study, target: Target) -> Goals:
    """The target's goals, relative to the untouched model and the ideal of the study that is read.

    Raises:
        StudyError: that ideal is not known, or not better than the untouched model.
    """
    baseline = study.baseline
    goals = Goals(target.objectives, target.constraints, baseline.search_reference, baseline.ideal)
    try:
        goals.check()
    except ValueError as error:
        raise StudyError(f"{study.files.baseline}: {error}") from None
    return goals


def _by_trial(reports: pd.DataFrame) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if not reports.empty:
        for name, own in reports.sort_values("step").groupby("trial_id", sort=False):
            yield str(name), rows(own)


def _outcome(
    trial: Mapping[str, Any], study: Study, goals: Goals, reports: Mapping[str, list[dict[str, float]]]
) -> Outcome:
    """How the trial ended in the target's terms, by the report that stands for it (`tuning.outcome.judge`)."""
    for constraint in goals.constraints:
        if constraint.metric not in study.reports:
            raise LeftOutError(f"without {constraint.metric}")
        if constraint.relative and not _has_bound(constraint, goals.baseline):
            raise LeftOutError(f"without the untouched model's {constraint.metric}")
    name = str(trial["trial_id"])
    own = reports.get(name, [])
    alone = len(own) == len({report["rung"] for report in own})  # then the others have no say
    others = [] if alone else [report for other, of in reports.items() if other != name for report in of]
    outcome = judge(own, others, goals, last_step=study.config.rungs[-1])
    if outcome.reason is not None:
        raise LeftOutError(f"with the reason '{outcome.reason}'")
    return outcome


def _has_bound(constraint: Constraint, baseline: Mapping[str, float]) -> bool:
    return constraint.metric in baseline and math.isfinite(bound_value(constraint, baseline))


def _settings_of(trial: Mapping[str, Any], study: Study, target: Target) -> dict[str, float]:
    """The settings of a trial that ran to its end."""
    if trial["state"] != TrialState.COMPLETE:
        raise LeftOutError(_NOT_TAKEN.get(str(trial["state"]), "in no known state"))
    return translated(trial, study.baseline.calibration, target.methods, target.fix)


def _front(study: Study, target: Target) -> list[dict[str, str | float]]:
    """Settings of the front's members that the target can try: of the re-measured front, else of the one so far."""
    front = study.front if study.is_finished else _front_so_far(study)
    entries: list[dict[str, str | float]] = []
    for member in rows(front):
        try:
            entry: dict[str, str | float] = {
                "method": str(member.get("method")),
                **translated(member, study.baseline.calibration, target.methods, target.fix),
            }
        except LeftOutError:
            continue
        if entry not in entries:
            entries.append(entry)
    return entries


def _front_so_far(study: Study) -> pd.DataFrame:
    try:
        return pareto_front(study.candidates, study.objectives, study.constraints, study.search_reference)
    except KeyError as error:
        raise StudyError(f"the front of {study.files.root} cannot be made from its reports: {error}") from None
