"""Why no report of a study is on a front, in words: what it would take, and what to change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.load import Study
from analysis.select import violations
from analysis.table import numeric
from tuning.constraints import bound_value
from tuning.goals import Constraint


def why_no_front(study: Study, constraints: Sequence[Constraint]) -> str:
    """Why a front over all reports under `constraints` has no member; empty where it has one.

    Whether a bound is kept is asked of every report, also of those that no picture shows, since an objective of theirs
    is not finite: to loosen a bound that is kept would help nobody.

    Raises:
        KeyError: a relative bound without the untouched model's value, or an objective without a column.
    """
    kept = violations(study.points, constraints, study.search_reference) == 0
    if not kept.any():
        return f"No feasible report. {_nearest(study, constraints)}"
    names = [objective.metric for objective in study.objectives]
    finite = np.isfinite(numeric(study.points, names))[kept]
    if finite.all(axis=1).any():
        return ""
    counts = zip(names, (~finite).sum(axis=0), strict=True)
    lacking = ", ".join(f"{study.label(name)} in {count}" for name, count in counts if count)
    return (
        f"Objectives are not finite: {len(finite)} of {len(study.points)} reports keep the bounds, but none of them "
        f"has a finite value in every objective (not finite: {lacking}). The bounds are not what is in the way: lower "
        "the learning rate, add a lower rung, or look at what trials.csv says of how trials ended."
    )


def _nearest(study: Study, constraints: Sequence[Constraint]) -> str:
    """How far the nearest report is from keeping the bounds, and what to change."""
    points, reference = study.points, study.search_reference
    total = violations(points, constraints, reference)
    if not np.isfinite(total).any():
        return "No report has a finite value for every bounded metric; look at the reasons in trials.csv."
    row = points.iloc[int(np.argmin(total))]
    values = ", ".join(
        f"{study.label(c.metric)} {row[c.metric]:.4g}, bound {_with_value(c, bound_value(c, reference))}"
        for c in constraints
    )
    return (
        f"The nearest is trial {row['trial_id']} at step {row['step']}, {_percent(total.min())} beyond ({values}). "
        "Loosen the bound, lower the learning rate, add a lower rung, or run more trials."
    )


def _with_value(constraint: Constraint, value: float) -> str:
    """A relative bound says little beside a value in the metric's own unit."""
    return f"{constraint}, which is {value:.4g}" if constraint.relative else str(constraint)


def _percent(share: float) -> str:
    """Two significant digits: what is beyond a bound by little is beyond it all the same."""
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"
