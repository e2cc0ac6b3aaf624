"""What a picture of a front shows, worked out once for every way of drawing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.configurations import is_repeated, points_of
from analysis.front import hypervolume, pareto_front, recommend, violations
from analysis.load import Study
from analysis.select import Recommendation
from analysis.table import numeric
from tuning.baseline import RETRAINED, UNTOUCHED
from tuning.config import Constraint

MARGIN = 0.08
"""Share of the range that an axis goes on beyond what must be seen."""


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn: colour and shape differ, so that either is enough to tell methods apart."""

    colour: str
    plotly_symbol: str
    matplotlib_marker: str


# Okabe and Ito's colours, safe for colour-blind readers, without the yellow that white swallows.
_STYLES = (
    MethodStyle("#0072B2", "circle", "o"),
    MethodStyle("#D55E00", "square", "s"),
    MethodStyle("#009E73", "triangle-up", "^"),
    MethodStyle("#CC79A7", "diamond", "D"),
    MethodStyle("#E69F00", "triangle-down", "v"),
    MethodStyle("#56B4E9", "pentagon", "p"),
    MethodStyle("#000000", "hexagon", "h"),
)


@dataclass(frozen=True)
class Anchor:
    """A baseline model in the picture; its errors are NaN where they were not measured."""

    name: str
    x: float
    y: float
    x_error: float
    y_error: float


@dataclass(frozen=True)
class Scene:
    """The points of a front picture.

    Args:
        x: column of the horizontal axis.
        y: column of the vertical axis.
        feasible: reports that keep every bound, of repeated settings their means.
        infeasible: the others.
        members: the front, best `x` first; re-measured where the study did so.
        choice: the recommended member, by its position in `members`.
        anchors: untouched and retrained model.
        x_range: what the horizontal axis shows.
        y_range: what the vertical axis shows.
        num_outside: infeasible reports beyond the axes.
    """

    x: str
    y: str
    feasible: pd.DataFrame
    infeasible: pd.DataFrame
    members: pd.DataFrame
    choice: Recommendation
    anchors: tuple[Anchor, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    num_outside: int


def style_of(method: str, methods: Sequence[str]) -> MethodStyle:
    """The style of a method, the same in every picture of a study."""
    order = list(methods)
    return _STYLES[(order.index(method) if method in order else len(order)) % len(_STYLES)]


def front_members(study: Study) -> pd.DataFrame:
    """The front: as re-measured, else over the reports so far, else empty."""
    if study.is_finished:
        if study.front.empty:
            return study.front
        ascending = study.objectives[0].sign > 0
        return study.front.sort_values(study.objectives[0].metric, ascending=ascending, kind="stable")
    if study.candidates.empty or not _can_judge(study):
        return pd.DataFrame(columns=study.reports.columns)
    return pareto_front(study.points, study.objectives, study.constraints, study.search_reference)


def choose(study: Study, members: pd.DataFrame) -> Recommendation:
    """The recommended one of `front_members`."""
    if not _can_judge(study):
        return Recommendation(None, "The untouched model was not measured yet, so no candidate can be judged.")
    return recommend(members, study.objectives, study.constraints, study.member_reference, study.ideal)


def _can_judge(study: Study) -> bool:
    return all(not bound.relative or bound.metric in study.search_reference for bound in study.constraints)


def compose(study: Study) -> Scene:
    """The scene of a study, also of one that runs or has no feasible report."""
    x, y = axes(study)
    reports = study.points
    for column in (x, y):
        if column not in reports:
            reports = reports.assign(**{column: np.nan})
    shown = reports.iloc[np.flatnonzero(np.isfinite(numeric(reports, [x, y])).all(axis=1))]
    kept = np.zeros(len(shown), dtype=bool)
    if _can_judge(study):
        kept = violations(shown, study.constraints, study.search_reference) == 0
    members = front_members(study)
    anchors = tuple(anchor for name in (UNTOUCHED, RETRAINED) if (anchor := _anchor(study, name, x, y)) is not None)
    feasible, infeasible = shown.iloc[np.flatnonzero(kept)], shown.iloc[np.flatnonzero(~kept)]
    important = [numeric(table, [x, y]) for table in (feasible, members) if not table.empty]
    important += [np.array([[anchor.x, anchor.y]]) for anchor in anchors]
    if feasible.empty and members.empty:
        important.append(numeric(infeasible, [x, y]))
    points = np.concatenate(important) if important else np.empty((0, 2))
    x_range, y_range = _range(points[:, 0]), _range(points[:, 1])
    inside = infeasible[x].between(*x_range) & infeasible[y].between(*y_range)
    return Scene(
        x=x,
        y=y,
        feasible=feasible,
        infeasible=infeasible,
        members=members,
        choice=choose(study, members),
        anchors=anchors,
        x_range=x_range,
        y_range=y_range,
        num_outside=int((~inside).sum()),
    )


def axes(study: Study) -> tuple[str, str]:
    """The two columns to draw: the first two objectives; with one objective, a bounded metric or the step beside it."""
    names = [objective.metric for objective in study.objectives]
    bounded = [bound.metric for bound in study.constraints if bound.metric not in names]
    x, y, *_ = [*names, *bounded, "step"]
    return x, y


def _anchor(study: Study, model: str, x: str, y: str) -> Anchor | None:
    measured = study.baseline.models.get(model, {})
    if x not in measured or y not in measured:
        return None
    return Anchor(model, measured[x].value, measured[y].value, measured[x].stderr, measured[y].stderr)


def _range(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    width = (high - low) or abs(high) or 1.0
    return low - MARGIN * width, high + MARGIN * width


def hypervolume_by_trial(study: Study) -> pd.DataFrame:
    """``trial_id, hypervolume``: that of all reports (or means over repeats) of the trials so far, in their order.

    Empty where the ideal is not known or nothing was reported.
    """
    ideal, reports = study.ideal, study.candidates
    if ideal is None or reports.empty or not _can_judge(study):
        return pd.DataFrame({"trial_id": [], "hypervolume": []})
    best, rows, repeated = reports.iloc[[]], [], is_repeated(reports)
    for trial_id in sorted(reports["trial_id"].unique()):
        joined = pd.concat([best, reports[reports["trial_id"] == trial_id]])
        if repeated:  # a mean can also fall behind what it was, so that nothing may be left out
            tables = (table for table in (reports, study.trials) if not table.empty)
            joined = points_of(*(table[table["trial_id"] <= trial_id] for table in tables))
        best = pareto_front(joined, study.objectives, study.constraints, study.search_reference)
        rows.append((trial_id, hypervolume(best, study.objectives, study.search_reference, ideal)))
    return pd.DataFrame(rows, columns=["trial_id", "hypervolume"])


def nearest(study: Study, constraints: Sequence[Constraint]) -> str:
    """How far the nearest report is from keeping the bounds, and what to change."""
    points = study.points
    total = violations(points, constraints, study.search_reference)
    if not np.isfinite(total).any():
        return "No report has a finite value for every bounded metric; look at the reasons in trials.csv."
    row = points.iloc[int(np.argmin(total))]
    values = ", ".join(f"{study.label(c.metric)} {row[c.metric]:.4g}, bound {c}" for c in constraints)
    return (
        f"The nearest is trial {row['trial_id']} at step {row['step']}, {100 * total.min():.0f}% beyond ({values}). "
        "Loosen the bound, lower the learning rate, add a lower rung, or run more trials."
    )
