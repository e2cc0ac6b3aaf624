"""The front as a short table, and why one of its members is the one to take home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.configurations import NUM_REPEATS, STDERR
from analysis.front import over_forgotten, recommend
from analysis.front_command import front_under
from analysis.load import Study
from analysis.scene import compose, front_members
from analysis.select import Recommendation
from analysis.settings import parameter_columns
from tuning.constraints import excess
from tuning.goals import Constraint, metrics_of, parse_constraint


def front_table(study: Study, bounds: Sequence[str] | None = None) -> pd.DataFrame:
    """The members of the front, best in the first objective first, with what matters of their columns.

    Args:
        study: finished or not.
        bounds: such as ``["fid <= 1.1x"]``: the front over all reports under these instead of the study's own, by the
            values of the search. None: the study's front, re-measured where it is finished.

    Returns:
        ``trial_id, method, step``, ``num_repeats`` where settings were repeated, the hyper-parameters that some member
        has, objectives and bounded metrics with ``<metric>_stderr``, ``recommended`` (at most one) and
        ``over_forgotten`` (False where no ideal is known). The index is that of the front.

    Raises:
        ValueError: a bound is not written as one.
        StudyError: bounds are given, and there are no reports, or none has what they are on.
    """
    if bounds is None:
        constraints, members, reference = study.constraints, front_members(study), study.member_reference
    else:
        constraints, reference = tuple(map(parse_constraint, bounds)), study.search_reference
        members = front_under(study, constraints)
    metrics = metrics_of(study.objectives, constraints)
    columns = ["trial_id", "method", "step", *([NUM_REPEATS] if NUM_REPEATS in members else [])]
    columns += parameter_columns(study, members)
    columns += [name for metric in metrics for name in (metric, metric + STDERR) if name in members]
    table = members.reindex(columns=columns)
    chosen = _choice(study, members, constraints if bounds is not None else None).position
    beyond = study.ideal is not None and not members.empty
    errors = study.baseline.ideal_stderr
    over = (
        over_forgotten(members, study.objectives, reference, study.ideal or {}, ideal_stderr=errors)
        if beyond
        else False
    )
    return table.assign(recommended=[position == chosen for position in range(len(table))], over_forgotten=over)


def recommendation(study: Study, bounds: Sequence[str] | None = None) -> str:
    """The rule that chose the recommended member of `front_table`, or why none is recommended.

    Raises:
        ValueError, StudyError: as `front_table`.
    """
    if bounds is None:
        return _choice(study, front_members(study), None).rule
    constraints = tuple(map(parse_constraint, bounds))
    return _choice(study, front_under(study, constraints), constraints).rule


def stricter_bounds(study: Study) -> list[str]:
    """The study's bounds with half of the room that they leave beyond the untouched model, to see what these cost.

    ``fid <= 1.2x`` becomes ``fid <= 1.1x``; an absolute bound comes half of the way to the untouched model's value. One
    that the untouched model breaks, or whose value is not known, stays as it is.
    """
    return [str(_stricter(constraint, study.search_reference)) for constraint in study.constraints]


def _stricter(constraint: Constraint, reference: Mapping[str, float]) -> Constraint:
    if constraint.metric not in reference or not excess(constraint, reference[constraint.metric], reference) <= 0:
        return constraint
    untouched = 1.0 if constraint.relative else reference[constraint.metric]
    return replace(constraint, bound=round((constraint.bound + untouched) / 2, 6))


def _choice(study: Study, members: pd.DataFrame, constraints: Sequence[Constraint] | None) -> Recommendation:
    if constraints is None:
        return compose(study).choice
    return recommend(members, study.objectives, constraints, study.search_reference, study.ideal)
