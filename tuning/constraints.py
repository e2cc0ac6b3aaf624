"""How far a report is from keeping the bounds of its study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from metrics.sequential import Bound
from tuning.goals import Constraint

#: What comes with ``<metric>_ratio``, the value as a multiple of the untouched model's on the same draws.
RATIO, RATIO_STDERR = "_ratio", "_ratio_stderr"


def bound_value(constraint: Constraint, baseline: Mapping[str, float]) -> float:
    """The bound in the metric's own unit: ``bound``, or ``bound × baseline[metric]`` where it is relative.

    Args:
        constraint: the bound.
        baseline: metric → value of the untouched model.

    Raises:
        KeyError: the bound is relative and the baseline lacks the metric.
    """
    if not constraint.relative:
        return constraint.bound
    if constraint.metric not in baseline:
        raise KeyError(
            f"the relative bound '{constraint}' needs the untouched model's {constraint.metric}, but the baseline "
            f"only has {', '.join(sorted(baseline)) or 'nothing'}; measure it or give an absolute bound"
        )
    return constraint.bound * float(baseline[constraint.metric])


def _number(report: Mapping[str, Any], name: str) -> float:
    """``report[name]`` as a float; NaN where it is absent, blank or no number."""
    value = report.get(name)
    if value is None or isinstance(value, str):
        return math.nan
    return float(value)


def excess(constraint: Constraint, value: float, baseline: Mapping[str, float]) -> float:
    """How far `value` is on the wrong side of the bound: ``value − bound`` for ``<=``, ``bound − value`` for ``>=``.

    Negative inside the bound (its margin), in the metric's unit, NaN where value or bound is.
    """
    difference = value - bound_value(constraint, baseline)
    return difference if constraint.op == "<=" else -difference


def violation(report: Mapping[str, Any], constraints: Sequence[Constraint], baseline: Mapping[str, float]) -> float:
    """Total relative violation, ``Σ_c max(0, excess_c) / |bound_c|``.

    Args:
        report: metric → value (other keys are ignored).
        constraints: the bounds; none means that everything is feasible.
        baseline: metric → value of the untouched model, for relative bounds.

    Returns:
        In [0, inf], down is better; 0 is feasible, ``inf`` says that a metric or its bound
        was not measured or is not finite.
        A bound of exactly 0 has no scale: its excess counts as it stands.

    Raises:
        KeyError: a bound is relative and the baseline lacks its metric.
    """
    total = 0.0
    for constraint in constraints:
        value, bound = _number(report, constraint.metric), bound_value(constraint, baseline)
        if not (math.isfinite(value) and math.isfinite(bound)):
            return math.inf
        total += Bound(constraint.metric, constraint.op, bound).violation(value)
    return total


def is_feasible(report: Mapping[str, Any], constraints: Sequence[Constraint], baseline: Mapping[str, float]) -> bool:
    """Whether every bound is kept: a violation of exactly 0."""
    return violation(report, constraints, baseline) == 0.0


def margin_error(report: Mapping[str, Any], constraint: Constraint, baseline: Mapping[str, float]) -> float:
    """The standard error of a report's margin to a bound, in the metric's unit (`margin_in_stderr`); NaN if unknown."""
    ratio_error = _number(report, f"{constraint.metric}{RATIO_STDERR}")
    if constraint.relative and math.isfinite(ratio_error):
        return ratio_error * abs(baseline[constraint.metric])
    return _number(report, f"{constraint.metric}_stderr")


def margin_in_stderr(report: Mapping[str, Any], constraint: Constraint, baseline: Mapping[str, float]) -> float:
    """How many standard errors a report is inside a bound; negative outside, NaN where value or error is not known.

    The error is the report's ``<metric>_stderr``. For a relative bound, where the report has ``<metric>_ratio_stderr``
    (the error of its ratio to the untouched model's, on the same draws), margin and error are those of the ratio; where
    it has not, the untouched model's own error is left out.
    """
    value = _number(report, constraint.metric)
    margin, error = -excess(constraint, value, baseline), margin_error(report, constraint, baseline)
    if not (math.isfinite(margin) and math.isfinite(error)):
        return math.nan
    if error == 0.0:
        return math.inf if margin >= 0.0 else -math.inf
    return margin / error


def feasible_by(
    report: Mapping[str, Any],
    constraints: Sequence[Constraint],
    baseline: Mapping[str, float],
    num_stderr: float = 2.0,
) -> bool:
    """Whether every bound is kept with `num_stderr` standard errors to spare (`margin_in_stderr`).

    Where a standard error is unknown nothing can be spared, and the answer is False.
    """
    return all(margin_in_stderr(report, constraint, baseline) >= num_stderr for constraint in constraints)
