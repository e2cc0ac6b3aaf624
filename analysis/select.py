"""Picks one candidate out of several: the model to take home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.hypervolume import gains
from analysis.table import numeric, rows
from tuning.constraints import feasible_by, margin_in_stderr, violation
from tuning.goals import Constraint, Objective

NUM_STDERR = 2.0


def violations(
    reports: pd.DataFrame, constraints: Sequence[Constraint], baseline: Mapping[str, float]
) -> NDArray[np.float64]:
    """(n,) `tuning.constraints.violation` of each row."""
    return np.array([violation(row, constraints, baseline) for row in rows(reports)], dtype=np.float64)


@dataclass(frozen=True)
class Recommendation:
    """The front member to take home and the rule that chose it.

    Args:
        position: row of the front; None where no member meets the rule.
        rule: the rule, and why nothing met it where nothing did.
    """

    position: int | None
    rule: str


def recommend(
    front: pd.DataFrame,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Mapping[str, float],
    ideal: Mapping[str, float] | None = None,
) -> Recommendation:
    """The knee of the normalised front among members that keep every bound by two standard errors.

    The knee is the member nearest to the ideal point (Euclidean distance) when each objective is scaled so that the
    untouched model is 0 and the ideal 1. Overshoot is distance too, so an over-forgotten member does not win by it.
    Without an ideal, the best value of each objective among the members takes its place.

    Args:
        front: feasible, non-dominated rows with ``<metric>_stderr`` of the constrained metrics, and where it is known
            ``<metric>_ratio_stderr``.
        objectives: metrics and directions.
        constraints: the bounds.
        baseline: metric → value of the untouched model.
        ideal: metric → value of the retrained model, or of what stands for it.

    Returns:
        Its position is None where the front is empty, or no member keeps every bound by two standard errors.
    """
    if front.empty:
        return Recommendation(None, "No candidate keeps the bounds, so none is recommended.")
    members, values = rows(front), numeric(front, [objective.metric for objective in objectives])
    safe = [feasible_by(member, constraints, baseline, NUM_STDERR) for member in members]
    positions = np.flatnonzero(np.isfinite(values).all(axis=1) & np.asarray(safe))
    if len(positions) == 0:
        return Recommendation(None, _nothing_safe(members, constraints, baseline))
    candidates = front.iloc[positions]
    target = dict(ideal) if ideal is not None else _best(candidates, objectives)
    scaled = _scaled(candidates, objectives, baseline, target)
    nearest = int(np.argmin(np.linalg.norm(1.0 - scaled, axis=1)))
    goal = "the ideal" if ideal is not None else "the best value of each objective"
    scale = f"the untouched model is 0 and {goal} is 1"
    rule = (
        f"Knee of the front: nearest to {goal} when {scale} in each objective, among the {len(candidates)} of "
        f"{len(front)} members that keep {_listed(constraints)} by {NUM_STDERR:g} standard errors."
    )
    return Recommendation(int(positions[nearest]), rule)


def _listed(constraints: Sequence[Constraint]) -> str:
    return " and ".join(map(str, constraints)) or "every bound (there is none)"


def _nothing_safe(
    members: Sequence[Mapping[str, Any]], constraints: Sequence[Constraint], baseline: Mapping[str, float]
) -> str:
    text = f"No front member keeps {_listed(constraints)} by {NUM_STDERR:g} standard errors, so none is recommended"
    for constraint in constraints:
        margins = [margin_in_stderr(row, constraint, baseline) for row in members]
        known = [margin for margin in margins if np.isfinite(margin)]
        if known and max(known) < NUM_STDERR:
            text += f"; the best margin to {constraint} is {max(known):.1f} standard errors"
    return text + ". Measure with more images, or loosen the bound."


def _best(front: pd.DataFrame, objectives: Sequence[Objective]) -> dict[str, float]:
    return {
        objective.metric: float(front[objective.metric].min() if objective.sign > 0 else front[objective.metric].max())
        for objective in objectives
    }


def _scaled(
    front: pd.DataFrame, objectives: Sequence[Objective], reference: Mapping[str, float], ideal: Mapping[str, float]
) -> NDArray[np.float64]:
    """(n, m) gains of the objectives in which the ideal is better than the reference; the others tell nothing apart."""
    usable = [goal for goal in objectives if (ideal[goal.metric] - reference[goal.metric]) * goal.sign < 0]
    return gains(front, usable, reference, ideal) if usable else np.ones((len(front), 1))
