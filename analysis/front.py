"""The constrained Pareto front of a study, and the numbers and choices that are read off it.

``python -m analysis.front NAME --constraint 'fid <= 1.1x'`` recomputes a study's front under another bound, from its
files alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import moocore
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.hypervolume import gains, hypervolume
from analysis.select import Recommendation, recommend, violations
from analysis.table import numeric
from tuning.goals import Constraint, Objective

__all__ = [
    "Recommendation",
    "hypervolume",
    "over_forgotten",
    "pareto_front",
    "recommend",
    "violations",
]


def pareto_front(
    reports: pd.DataFrame,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Mapping[str, float],
) -> pd.DataFrame:
    """The feasible reports that no other feasible report dominates.

    Args:
        reports: one row a report, with a column for each objective and constraint.
        objectives: metrics and directions.
        constraints: bounds that a member must keep.
        baseline: metric → value of the untouched model, for relative bounds.

    Returns:
        Rows of `reports` under their own index, sorted by the first objective, best first. Of rows with equal
        objectives the first is kept; a row with an objective that is not finite is no candidate.

    Raises:
        KeyError: an objective has no column, or a relative bound no baseline.
    """
    if reports.empty:
        return reports.copy()
    values = numeric(reports, [objective.metric for objective in objectives])
    minimised = values * np.array([objective.sign for objective in objectives])
    candidates = np.isfinite(values).all(axis=1) & (violations(reports, constraints, baseline) == 0)
    positions = np.flatnonzero(candidates)
    if len(positions) == 0:
        return reports.iloc[[]].copy()
    members = positions[moocore.is_nondominated(minimised[positions], keep_weakly=False)]
    order = np.argsort(minimised[members, 0], kind="stable")
    front: pd.DataFrame = reports.iloc[members[order]].copy()
    return front


def over_forgotten(
    points: pd.DataFrame,
    objectives: Sequence[Objective],
    reference: Mapping[str, float],
    ideal: Mapping[str, float],
    num_stderr: float = 2.0,
    ideal_stderr: Mapping[str, float] | None = None,
) -> NDArray[np.bool_]:
    """(n,) whether a row lies beyond the ideal in some objective by `num_stderr` standard errors of their difference.

    An image that is far less likely than one the model never saw is over-forgotten, and that can be detected. The error
    of the difference is that of both, as if they were independent: √(row's² + ideal's²). One that is not known counts
    as 0, so that where neither is the value itself decides.

    Args:
        points: one row a report.
        objectives: metrics and directions.
        reference: metric → value of the untouched model.
        ideal: metric → the ideal value.
        num_stderr: how many.
        ideal_stderr: metric → standard error of the ideal, as `Baseline.ideal_stderr` has it.

    Raises:
        KeyError, ValueError: as `hypervolume`.
    """
    beyond = np.zeros(len(points), dtype=bool)
    for objective, overshoot in zip(objectives, (gains(points, objectives, reference, ideal) - 1.0).T, strict=True):
        name = f"{objective.metric}_stderr"
        own = numeric(points, [name])[:, 0] if name in points else np.zeros(len(points))
        errors = np.hypot(np.nan_to_num(own), np.nan_to_num((ideal_stderr or {}).get(objective.metric, 0.0)))
        width = abs(float(ideal[objective.metric]) - float(reference[objective.metric]))
        beyond |= np.nan_to_num(overshoot * width, nan=-np.inf) > num_stderr * errors
    return beyond


if __name__ == "__main__":
    from analysis.front_command import main

    raise SystemExit(main())
