"""What a picture of a front shows, worked out once for every way of drawing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
import pandas as pd

from analysis.configurations import is_repeated, points_of
from analysis.front import hypervolume, pareto_front, recommend, violations
from analysis.growing_front import GrowingFront
from analysis.hypervolume import gains
from analysis.load import Study
from analysis.select import Recommendation
from analysis.table import numeric, rows
from tuning.baseline import RETRAINED, UNTOUCHED

MARGIN = 0.08
"""Share of the range that an axis goes on beyond what must be seen."""

REFERENCE_METHOD: Final = "naive_deletion"
"""The method that a study's best is compared with, where it was run: what one would do without any of the others."""


@dataclass(frozen=True)
class Anchor:
    """A model that others are compared with; its errors are NaN where they were not measured.

    Args:
        name: ``untouched``, ``retrained`` or `REFERENCE_METHOD`.
        x, y: its place.
        x_error, y_error: standard errors.
        trial_id, step: the report, of the reference method.
    """

    name: str
    x: float
    y: float
    x_error: float
    y_error: float
    trial_id: str | None = None
    step: int | None = None


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
        anchors: untouched and retrained model, and the reference method at its best.
        x_range: what the horizontal axis shows.
        y_range: what the vertical axis shows.
        num_outside: infeasible reports beyond the axes.
        x_unit: what `x` of the reports was divided by.
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
    x_unit: float = 1.0


def front_members(study: Study) -> pd.DataFrame:
    """The front: as re-measured, else over the reports so far, else empty."""
    if study.is_finished:
        if study.front.empty:
            return study.front
        ascending = study.objectives[0].sign > 0
        return study.front.sort_values(study.objectives[0].metric, ascending=ascending, kind="stable")
    if study.candidates.empty or not can_judge(study):
        return pd.DataFrame(columns=study.reports.columns)
    return pareto_front(study.points, study.objectives, study.constraints, study.search_reference)


def choose(study: Study, members: pd.DataFrame) -> Recommendation:
    """The recommended one of `front_members`."""
    if not can_judge(study):
        return Recommendation(None, "The untouched model was not measured yet, so no candidate can be judged.")
    return recommend(members, study.objectives, study.constraints, study.member_reference, study.ideal)


def can_judge(study: Study) -> bool:
    """Whether every bound is known in the metric's own unit: a relative one needs the untouched model's value."""
    return all(not bound.relative or bound.metric in study.search_reference for bound in study.constraints)


def compose(study: Study, columns: tuple[str, str] | None = None) -> Scene:
    """The scene of a study, also of one that runs or has no feasible report.

    Args:
        study: what is drawn.
        columns: those of the horizontal and the vertical axis; by default those of `axes`.
    """
    x, y = columns or axes(study)
    reports = study.points
    for column in (x, y):
        if column not in reports:
            reports = reports.assign(**{column: np.nan})
    shown = reports.iloc[np.flatnonzero(np.isfinite(numeric(reports, [x, y])).all(axis=1))]
    kept = np.zeros(len(shown), dtype=bool)
    if can_judge(study):
        kept = violations(shown, study.constraints, study.search_reference) == 0
    members = front_members(study)
    candidates = (*(_anchor(study, name, x, y) for name in (UNTOUCHED, RETRAINED)), _reference(study, shown, x, y))
    anchors = tuple(anchor for anchor in candidates if anchor is not None)
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


def _reference(study: Study, reports: pd.DataFrame, x: str, y: str) -> Anchor | None:
    """The reference method at its best (`best_of_reference`); None where it has no report."""
    position = best_of_reference(study, reports)
    if position is None:
        return None
    row = reports.iloc[position]
    x_error, y_error = (float(row.get(f"{name}_stderr", np.nan)) for name in (x, y))
    trial_id, step = str(row["trial_id"]), int(row["step"])
    return Anchor(REFERENCE_METHOD, float(row[x]), float(row[y]), x_error, y_error, trial_id, step)


def best_of_reference(study: Study, reports: pd.DataFrame) -> int | None:
    """The position in `reports` of `REFERENCE_METHOD` at its best; None where it has none that can be judged.

    It is the feasible one that spans the largest hypervolume by itself, of equals (all, where no hypervolume is
    defined) the best in the first objective. If none is feasible it is the one of least violation.
    """
    if "method" not in reports or not can_judge(study):
        return None
    positions = np.flatnonzero(reports["method"] == REFERENCE_METHOD)
    of = reports.iloc[positions]
    if of.empty:
        return None
    excess, ideal = violations(of, study.constraints, study.search_reference), study.ideal
    worth = np.zeros(len(of))
    if ideal is not None:  # the hypervolume of a lone point is the product of its gains
        worth = np.prod(np.clip(gains(of, study.objectives, study.search_reference, ideal), 0.0, 1.0), axis=1)
    first = study.objectives[0]
    values = first.sign * numeric(of, [first.metric])[:, 0]
    return int(positions[np.lexsort([values, -worth, excess])[0]])


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
    if ideal is None or reports.empty or not can_judge(study):
        return pd.DataFrame({"trial_id": [], "hypervolume": []})
    table = []
    if is_repeated(reports):  # a mean can also fall behind what it was, so that each front is taken anew
        for trial_id in sorted(reports["trial_id"].unique()):
            tables = (table for table in (reports, study.trials) if not table.empty)
            joined = points_of(*(table[table["trial_id"] <= trial_id] for table in tables))
            best = pareto_front(joined, study.objectives, study.constraints, study.search_reference)
            table.append((trial_id, hypervolume(best, study.objectives, study.search_reference, ideal)))
    else:
        front = GrowingFront(study.goals)
        for trial_id, of_trial in groupby(sorted(rows(reports), key=_trial), key=_trial):
            for report in of_trial:
                front.add(report)
            table.append((trial_id, front.hypervolume))
    return pd.DataFrame(table, columns=["trial_id", "hypervolume"])


def _trial(row: Mapping[str, Any]) -> str:
    return str(row["trial_id"])
