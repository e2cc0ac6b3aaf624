"""The constrained Pareto front of reports that come one by one, and what it is worth.

The same as `analysis.front.pareto_front` and `analysis.hypervolume.hypervolume` of all reports so far, at the price of
one comparison with the members for each report: a front taken anew for each is quadratic in a study's reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.hypervolume import dominated_volume, gains_of
from tuning.constraints import violation

if TYPE_CHECKING:
    from tuning.judging import Goals


class GrowingFront:
    """The feasible reports that no other feasible report dominates.

    Args:
        goals: objectives, constraints and baseline; for the hypervolume also an ideal.
        reports: those to begin with.
    """

    def __init__(self, goals: Goals, reports: Iterable[Mapping[str, Any]] = ()) -> None:
        self._goals = goals
        self._signs = np.array([objective.sign for objective in goals.objectives])
        self._points = np.empty((0, len(goals.objectives)))  # of the members, minimised, in order of arrival
        self._members: list[Mapping[str, Any]] = []
        self._hypervolume: float | None = None
        for report in reports:
            self.add(report)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, report: Mapping[str, Any]) -> bool:
        """Take a report in; whether it is a member, which may leave again when a better one comes.

        Of reports with equal objectives the first stays. One that breaks a bound, or whose objectives are not all
        finite, is no member.
        """
        point = self._point(report)
        if point is None or bool((self._points <= point).all(axis=1).any()):
            return False
        kept = np.logical_not((point <= self._points).all(axis=1))
        self._points = np.vstack([self._points[kept], point])
        self._members = [member for member, stays in zip(self._members, kept.tolist(), strict=True) if stays] + [report]
        self._hypervolume = None
        return True

    @property
    def members(self) -> list[Mapping[str, Any]]:
        """The members, sorted by the first objective, best first; of equals the first to come."""
        return [self._members[position] for position in self._order()]

    @property
    def hypervolume(self) -> float:
        """Normalised hypervolume of the members, in [0, 1].

        Raises:
            KeyError, ValueError: as `analysis.hypervolume.hypervolume`.
        """
        if self._hypervolume is None:
            self._hypervolume = self._volume(self._points[self._order()])
        return self._hypervolume

    def hypervolume_with(self, report: Mapping[str, Any]) -> float:
        """What the front would be worth with one report more, which is not taken in.

        Raises:
            KeyError, ValueError: as `analysis.hypervolume.hypervolume`.
        """
        point = self._point(report)
        return self.hypervolume if point is None else self._volume(np.vstack([self._points, point]))

    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self._points[:, 0], kind="stable")

    def _point(self, report: Mapping[str, Any]) -> NDArray[np.float64] | None:
        """The minimised objectives of a feasible report, None for another."""
        point: NDArray[np.float64] = self._signs * np.array(self._goals.values(report))
        feasible = violation(report, self._goals.constraints, self._goals.baseline) == 0.0
        return point if feasible and bool(np.isfinite(point).all()) else None

    def _volume(self, points: NDArray[np.float64]) -> float:
        goals = self._goals
        return dominated_volume(gains_of(self._signs * points, goals.objectives, goals.baseline, goals.ideal))
