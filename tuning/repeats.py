"""Which settings are worth another run: those whose mean over the runs so far is near the front.

The means are those of ``analysis.configurations``, here over the reports that the search keeps, without a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tuning.constraints import violation
from tuning.outcome import Goals, Report, number
from tuning.ranking import constrained_ranks

#: The last constrained rank that is near the front: what is one rank behind by noisy values may well be on it.
LAST_NEAR_RANK: Final = 1


@dataclass(frozen=True)
class Run:
    """An ended run of a setting: its reports, and whether it failed."""

    reports: Sequence[Report]
    failed: bool = False

    @property
    def last_step(self) -> float:
        """Step of its last report, -inf without one."""
        return max((int(report["step"]) for report in self.reports), default=-math.inf)


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
    points = [(name, report) for name, runs in settings.items() for report in mean_reports(runs, goals)]
    if not points:
        return {}
    values = np.array([goals.values(report) for _, report in points]) * [o.sign for o in goals.objectives]
    values[~np.isfinite(values)] = np.nan
    excess = np.array([violation(report, goals.constraints, goals.baseline) for _, report in points])
    ranks = constrained_ranks(values, excess)
    near = (ranks <= LAST_NEAR_RANK) & (excess == 0) & ~np.isnan(values).any(axis=1)
    found: dict[str, int] = {}
    for position in np.flatnonzero(near):
        name, rank = points[position][0], int(ranks[position])
        if not any(run.failed for run in settings[name]):
            found[name] = min(rank, found.get(name, rank))
    return found
