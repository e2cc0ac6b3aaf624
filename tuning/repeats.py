"""Which settings are worth another run: those whose mean over the runs so far is near the front.

The means are those of ``analysis.configurations``, here over the reports that the search keeps, without a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tuning.constraints import violation
from tuning.judging import Goals, Report, number
from tuning.ranking import constrained_ranks

#: The last constrained rank that is near the front: what is one rank behind by noisy values may well be on it.
LAST_NEAR_RANK: Final = 1


Points = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """An ended run of a setting: its reports, and whether it failed."""

    reports: Sequence[Report]
    failed: bool = False
    _points: list[Points] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def last_step(self) -> float:
        """Step of its last report, -inf without one."""
        return max((int(report["step"]) for report in self.reports), default=-math.inf)

    def points(self, goals: Goals) -> Points:
        """What it stands for by itself, as `points_of`; kept, since most settings are run once."""
        if not self._points:
            self._points.append(_scored(mean_reports([self], goals), goals))
        return self._points[0]


def mean_reports(runs: Sequence[Run], goals: Goals) -> list[dict[str, Any]]:
    """The points of a setting: the mean of each metric of the goals over its runs, by step.

    NaN where a run's value is not a number. None lies beyond the last report of a run that failed.
    """
    last = min((run.last_step for run in runs if run.failed), default=math.inf)
    by_step: dict[int, list[Report]] = {}
    for report in (report for run in runs for report in run.reports):
        if report["step"] <= last:
            by_step.setdefault(int(report["step"]), []).append(report)
    return [
        {"step": step, **{m: sum(number(report, m) for report in found) / len(found) for m in goals.metrics}}
        for step, found in sorted(by_step.items())
    ]


def near_front(settings: Mapping[str, Sequence[Run]], goals: Goals) -> dict[str, int]:
    """The settings near the front, with the rank of their best point.

    Args:
        settings: name → its ended runs.
        goals: what points are judged by.

    Returns:
        Setting → rank, at most `LAST_NEAR_RANK`, among the points of all settings. Only a feasible point with finite
        objectives has a setting near the front, and none that a run of failed is.
    """
    names = list(settings)
    points = [points_of(runs, goals) for runs in settings.values()]
    owners = np.repeat(np.arange(len(names)), [len(found) for found in points])
    if len(owners) == 0:
        return {}
    scores = np.concatenate(points)
    values, excess = scores[:, :-1], scores[:, -1]
    ranks = constrained_ranks(values, excess)
    near = (ranks <= LAST_NEAR_RANK) & (excess == 0) & ~np.isnan(values).any(axis=1)
    found: dict[str, int] = {}
    for position in np.flatnonzero(near):
        name, rank = names[owners[position]], int(ranks[position])
        if not any(run.failed for run in settings[name]):
            found[name] = min(rank, found.get(name, rank))
    return found


def points_of(runs: Sequence[Run], goals: Goals) -> Points:
    """(k, m + 1) the minimised objectives, NaN where not finite, and the violation of a setting's points, by step."""
    return runs[0].points(goals) if len(runs) == 1 else _scored(mean_reports(runs, goals), goals)


def _scored(reports: Sequence[Report], goals: Goals) -> Points:
    values = np.array([goals.values(report) for report in reports]).reshape(-1, len(goals.objectives))
    values = values * [objective.sign for objective in goals.objectives]
    values[~np.isfinite(values)] = np.nan
    return np.column_stack([values, [violation(report, goals.constraints, goals.baseline) for report in reports]])
