"""Pictures of a study: interactive ones for the report and notebooks, and one as a file."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from analysis.appearance import DOMINATED, FONT_COLOUR, LEGEND_BELOW, NO_LEGEND
from analysis.configurations import NUM_REPEATS
from analysis.front import pareto_front
from analysis.load import Study
from analysis.marks import (
    ANCHOR_SYMBOLS,
    FADED,
    SOLID,
    add_anchors,
    add_members,
    add_reports,
    anchor_title,
    axis_title,
    drawn_methods,
    errors,
)
from analysis.method_style import MethodStyle, style_of
from analysis.scene import Anchor, Scene, can_judge, compose, hypervolume_by_trial

_GREY = "#777777"


def front_figure(study: Study) -> go.Figure:
    """The front among all reports, with what it dominates: methods by colour and shape, infeasible reports hollow.

    Besides: untouched and retrained model, the reference method at its best (`analysis.scene.REFERENCE_METHOD`), the
    recommended member, and the front of the search, by values that the front was chosen by. The axes show what is
    feasible, the front and the baselines; zoom out for reports beyond.
    """
    scene = compose(study)
    figure = go.Figure()
    _add_dominated(figure, study, scene)
    add_reports(figure, study, scene)
    _add_search_front(figure, study, scene)
    add_members(figure, study, scene, line=_is_traded_off(study), legend=True)
    add_anchors(figure, scene)
    figure.update_layout(template="plotly_white", height=560, hovermode="closest", **LEGEND_BELOW)
    figure.update_xaxes(title_text=axis_title(study, scene.x), range=scene.x_range)
    figure.update_yaxes(title_text=axis_title(study, scene.y), range=scene.y_range)
    return figure


def _is_traded_off(study: Study) -> bool:
    """Whether the picture shows all that a front trades off, so that its edge can be drawn."""
    return len(study.objectives) == 2


def _add_dominated(figure: go.Figure, study: Study, scene: Scene) -> None:
    """Shades what the front dominates, as far as the axes go."""
    if scene.members.empty or not _is_traded_off(study):
        return
    x, y = (scene.members[column].to_numpy(dtype=float) for column in (scene.x, scene.y))
    signs = {goal.metric: goal.sign for goal in study.objectives}
    worst_x, worst_y = (
        max(ends) if signs[column] > 0 else min(ends)
        for column, ends in ((scene.x, scene.x_range), (scene.y, scene.y_range))
    )
    corners_x = [x[0], *np.repeat(x[1:], 2), worst_x, worst_x]
    corners_y = [*np.repeat(y, 2), worst_y]
    figure.add_scatter(
        x=[x[0], *corners_x], y=[worst_y, *corners_y], mode="lines", fill="toself", fillcolor=DOMINATED,
        line={"width": 0}, hoverinfo="skip", name="dominated by the front",
        meta={"role": "dominated", "worst": [worst_x, worst_y], "x": scene.x, "y": scene.y, "x_unit": 1.0},
    )  # fmt: skip


def _add_search_front(figure: go.Figure, study: Study, scene: Scene) -> None:
    """The front of the reports as trials measured them: what other bounds would make of it is drawn into this trace.

    Where two axes show all that is traded off it is an edge, else a ring around each member.
    """
    if not can_judge(study) or study.points.empty:
        return
    front = pareto_front(study.points, study.objectives, study.constraints, study.search_reference)
    front = front.reindex(columns=[scene.x, scene.y])
    ring = {"symbol": "circle-open", "size": 17, "color": FONT_COLOUR, "line": {"width": 1}}
    drawn: dict[str, Any] = {"mode": "markers", "marker": ring}
    if _is_traded_off(study):
        drawn = {"mode": "lines", "line": {"shape": "hv", "color": FONT_COLOUR, "dash": "dot"}}
    figure.add_scatter(
        x=front[scene.x], y=front[scene.y], hoverinfo="skip", name="front of the search",
        meta={"role": "front", "x": scene.x, "y": scene.y, "x_unit": 1.0}, **drawn,
    )  # fmt: skip


def hypervolume_figure(study: Study) -> go.Figure:
    """The normalised hypervolume (untouched model 0, ideal 1) after each trial."""
    table = hypervolume_by_trial(study)
    figure = go.Figure()
    line, marker = {"shape": "hv", "color": FONT_COLOUR}, {"size": 4}
    figure.add_scatter(
        x=table["trial_id"], y=table["hypervolume"], mode="lines+markers", line=line, marker=marker, name="hypervolume"
    )
    figure.update_layout(template="plotly_white", height=320, **NO_LEGEND)
    figure.update_xaxes(title_text="trial", type="category", nticks=12)
    figure.update_yaxes(title_text="hypervolume", rangemode="tozero")
    return figure


def front_picture(study: Study, path: Path) -> None:
    """Draws the front as a PNG that is legible at the width of a README (about 800 pixels).

    Args:
        study: what is drawn.
        path: the PNG to write; its directory must exist.
    """
    scene = compose(study)
    figure = Figure(figsize=(9.6, 5.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for method in drawn_methods(study, scene):
        style = style_of(method, study.config.methods)
        for table, alpha in ((scene.infeasible, FADED), (scene.feasible, SOLID)):
            rows = table[table["method"] == method]
            _scatter(axes, rows[scene.x], rows[scene.y], style, alpha)
        _scatter(axes, [], [], style, SOLID, label=method)
    _draw_front(axes, study, scene)
    for anchor in scene.anchors:
        _draw_anchor(axes, anchor)
    axes.set(xlim=scene.x_range, ylim=scene.y_range)
    axes.set_xlabel(unescape(axis_title(study, scene.x)), fontsize=12)
    axes.set_ylabel(unescape(axis_title(study, scene.y)), fontsize=12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        title = "faded: infeasible" + (f"\n({scene.num_outside} beyond the axes)" if scene.num_outside else "")
        figure.legend(handles, labels, loc="outside right upper", fontsize=10, title=title, frameon=False)
    figure.savefig(path, format="png")


def _bars_say(table: pd.DataFrame) -> str:
    """What the bars of a front are, for its legend."""
    return "(± 1 spread of its runs,\nits error if run once)" if NUM_REPEATS in table else "(± 1 standard error)"


def _scatter(
    axes: Axes, x: ArrayLike, y: ArrayLike, style: MethodStyle, alpha: float, label: str | None = None
) -> None:
    axes.scatter(x, y, c=style.colour, marker=style.matplotlib_marker, s=38, alpha=alpha, linewidths=0, label=label)


def _draw_front(axes: Axes, study: Study, scene: Scene) -> None:
    members = scene.members
    if members.empty:
        return
    x, y = members[scene.x].to_numpy(dtype=float), members[scene.y].to_numpy(dtype=float)
    label = "front" if not study.is_finished else f"front, re-measured\n{_bars_say(members)}"
    axes.step(x, y, where="post", color=_GREY, linewidth=1.3, zorder=2, label=label)
    axes.errorbar(
        x, y, errors(members, scene.y), errors(members, scene.x), fmt="none", ecolor=FONT_COLOUR, elinewidth=1, zorder=3
    )  # fmt: skip
    for method, left, top in zip(members["method"], x, y, strict=True):
        style = style_of(method, study.config.methods)
        axes.scatter(left, top, c=style.colour, marker=style.matplotlib_marker, s=80, edgecolors=FONT_COLOUR, zorder=4)
    if scene.choice.position is not None:
        best = scene.choice.position
        star: dict[str, Any] = {"marker": "*", "facecolors": "none", "edgecolors": FONT_COLOUR, "linewidths": 1.6}
        axes.scatter(x[best], y[best], s=480, zorder=5, **star)
        axes.scatter([], [], s=120, label="recommended", **star)


def _draw_anchor(axes: Axes, anchor: Anchor) -> None:
    marker = ANCHOR_SYMBOLS[anchor.name][1]
    axes.errorbar(
        anchor.x, anchor.y, np.nan_to_num(anchor.y_error), np.nan_to_num(anchor.x_error),
        fmt=marker, color=FONT_COLOUR, markersize=11, elinewidth=1, zorder=5, label=anchor_title(anchor),
    )  # fmt: skip
