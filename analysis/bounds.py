"""Objectives against what is bounded: how near to a bound what is good lies, and what another bound would let in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.appearance import FONT_COLOUR, LEGEND_BELOW, WITHIN
from analysis.configurations import STDERR
from analysis.load import Study
from analysis.marks import add_anchors, add_members, add_reports, axis_title, short_title
from analysis.scene import MARGIN, Anchor, Scene, can_judge, compose
from tuning.constraints import RATIO_STDERR, bound_value
from tuning.goals import Constraint

_PANEL_HEIGHT: Final = 300
#: How far an axis goes on beyond a bound, in widths of what is within.
_BEYOND: Final = 0.6


@dataclass(frozen=True)
class _Panel:
    """One part of the figure: an objective over a bounded metric, or over a further objective."""

    x: str
    y: str


def bounds_figure(study: Study) -> go.Figure:
    """Objectives over each bounded metric, its bound as a line, the feasible side shaded: all reports, and the front.

    A metric with a relative bound is drawn as a multiple of the untouched model's value, reports by that of the search,
    front members by that of the second measurement: so both are judged by the same line. Of three and more objectives
    there is a part for each that the front's picture does not show.
    """
    panels = _panels(study)
    if not panels:
        return go.Figure()
    num_rows = (len(panels) + 1) // 2
    figure = make_subplots(rows=num_rows, cols=2, vertical_spacing=0.3 / num_rows, horizontal_spacing=0.16)
    units: dict[int, float] = {}
    for place, panel in enumerate(panels):
        where = {"row": place // 2 + 1, "col": place % 2 + 1}
        own = [bound for bound in study.constraints if bound.metric == panel.x] if can_judge(study) else []
        relative = any(bound.relative for bound in own) and _has_unit(study, panel.x)
        scene = compose(study, (panel.x, panel.y))
        scene = _by_the_untouched(study, scene) if relative else scene
        low, high = scene.x_range
        lines = [(bound, _line(study, bound, scene)) for bound in own]
        for _, line in lines:
            low, high = min(low, line - MARGIN * abs(line)), max(high, line + _BEYOND * (line - min(low, line)))
        for bound, line in lines:
            number = study.constraints.index(bound)
            units[number] = scene.x_unit
            _add_bound(figure, number, bound, line, (low, high), place)
        add_reports(figure, study, scene, legend=place == 0, **where)
        add_members(figure, study, scene, line=False, legend=False, **where)
        add_anchors(figure, scene, legend=place == 0, **where)
        title = axis_title(study, panel.x) + (", times the untouched model's" if relative else "")
        figure.update_xaxes(title_text=title, title_font_size=12, range=(low, high), title_standoff=4, **where)
        figure.update_yaxes(
            title_text=short_title(study, panel.y), title_font_size=12, range=scene.y_range, **where
        )  # fmt: skip
    figure.update_layout(
        template="plotly_white", height=_PANEL_HEIGHT * num_rows + 110, hovermode="closest", meta={"units": units},
        **LEGEND_BELOW,
    )  # fmt: skip
    return figure


def _panels(study: Study) -> list[_Panel]:
    goals = [goal.metric for goal in study.objectives]
    bounded = dict.fromkeys(bound.metric for bound in study.constraints)
    known = set(map(str, study.reports.columns))
    found = [_Panel(metric, goal) for metric in bounded for goal in goals[:2] if goal != metric]
    found += [_Panel(goals[0], goal) for goal in goals[2:]]
    return [panel for panel in found if {panel.x, panel.y} <= known]


def _has_unit(study: Study, metric: str) -> bool:
    """Whether multiples of the untouched model's value keep the order, in the search as in the second measurement."""
    return min(study.search_reference[metric], study.member_reference.get(metric, math.nan)) > 0


def _line(study: Study, bound: Constraint, scene: Scene) -> float:
    """Where the bound lies on the panel's axis."""
    return bound_value(bound, study.search_reference) / scene.x_unit


def _by_the_untouched(study: Study, scene: Scene) -> Scene:
    """The scene with its horizontal axis in multiples of the untouched model's value."""
    search, final = study.search_reference[scene.x], study.member_reference.get(scene.x, math.nan)
    baselines = study.untouched.get(scene.x, search)
    anchors = tuple(_divided(anchor, baselines if anchor.trial_id is None else search) for anchor in scene.anchors)
    low, high = sorted(end / search for end in scene.x_range)
    return replace(
        scene,
        feasible=_in_units(scene.feasible, scene.x, search),
        infeasible=_in_units(scene.infeasible, scene.x, search),
        members=_in_units(scene.members, scene.x, final),
        anchors=anchors,
        x_range=(low, high),
        x_unit=search,
    )


def _divided(anchor: Anchor, unit: float) -> Anchor:
    return replace(anchor, x=anchor.x / unit, x_error=anchor.x_error / unit)


def _in_units(table: pd.DataFrame, column: str, unit: float) -> pd.DataFrame:
    if table.empty:
        return table
    divided = {column: table[column] / unit}
    if column + STDERR in table:
        divided[column + STDERR] = table[column + STDERR] / unit
    if column + RATIO_STDERR in table:  # paired with the untouched model's, which is the smaller error
        divided[column + STDERR] = table[column + RATIO_STDERR]
    return table.assign(**divided)


def _add_bound(
    figure: go.Figure, number: int, bound: Constraint, line: float, ends: Sequence[float], place: int
) -> None:
    """The bound's line and the shade of its feasible side; their names say to the page's script which they are."""
    axis = "" if place == 0 else str(place + 1)
    where: dict[str, Any] = {"xref": f"x{axis}", "yref": f"y{axis} domain", "y0": 0, "y1": 1, "layer": "below"}
    end = min(ends) if bound.op == "<=" else max(ends)
    figure.add_shape(
        type="rect", x0=end, x1=line, fillcolor=WITHIN, line={"width": 0}, name=f"within:{number}", **where
    )  # fmt: skip
    dashed = {"color": FONT_COLOUR, "width": 1.5, "dash": "dash"}
    figure.add_shape(type="line", x0=line, x1=line, line=dashed, name=f"bound:{number}", **where)
