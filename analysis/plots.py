"""Pictures of a study: interactive ones for the report and notebooks, and one as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from analysis.configurations import NUM_REPEATS, SPREAD, STDERR
from analysis.load import Study
from analysis.scene import Anchor, MethodStyle, Scene, compose, hypervolume_by_trial, style_of

_FADED, _SOLID = 0.25, 0.85
_INK, _GREY = "#222222", "#777777"
_ANCHOR_SYMBOLS = {"untouched": ("x", "X"), "retrained": ("cross", "P")}


def front_figure(study: Study) -> go.Figure:
    """The front among all reports: methods by colour and shape, the infeasible faded; baselines; recommended member.

    The axes show what is feasible, the front and the baselines; zoom out for reports beyond.
    """
    scene = compose(study)
    figure = go.Figure()
    for method in _methods(study, scene):
        style = style_of(method, study.config.methods)
        _add_reports(figure, scene, scene.infeasible, method, style, _FADED, f"{method}, infeasible")
        _add_reports(figure, scene, scene.feasible, method, style, _SOLID, method)
    _add_front(figure, study, scene)
    for anchor in scene.anchors:
        symbol = _ANCHOR_SYMBOLS[anchor.name][0]
        marker = {"symbol": symbol, "size": 14, "color": _INK}
        errors = {"error_x": _bars([anchor.x_error]), "error_y": _bars([anchor.y_error])}
        figure.add_scatter(x=[anchor.x], y=[anchor.y], mode="markers", name=anchor.name, marker=marker, **errors)
    figure.update_layout(template="plotly_white", height=560, legend={"itemsizing": "constant"}, hovermode="closest")
    figure.update_xaxes(title_text=axis_title(study, scene.x), range=scene.x_range)
    figure.update_yaxes(title_text=axis_title(study, scene.y), range=scene.y_range)
    return figure


def hypervolume_figure(study: Study) -> go.Figure:
    """The normalised hypervolume (untouched model 0, ideal 1) after each trial."""
    table = hypervolume_by_trial(study)
    figure = go.Figure()
    line = {"shape": "hv", "color": _INK}
    figure.add_scatter(x=table["trial_id"], y=table["hypervolume"], mode="lines+markers", line=line, name="hypervolume")
    figure.update_layout(template="plotly_white", height=320, showlegend=False)
    figure.update_xaxes(title_text="trial", type="category")
    figure.update_yaxes(title_text="hypervolume (untouched 0, ideal 1)", rangemode="tozero")
    return figure


def axis_title(study: Study, column: str) -> str:
    """The metric's label and which way is better."""
    better = {"minimize": "lower is better", "maximize": "higher is better"}
    directions = {objective.metric: better[objective.direction] for objective in study.objectives}
    return f"{study.label(column)}, {directions[column]}" if column in directions else study.label(column)


def _methods(study: Study, scene: Scene) -> list[str]:
    """The methods that are drawn, in the study's order."""
    tables = [table["method"] for table in (scene.feasible, scene.infeasible, scene.members) if "method" in table]
    present = set(pd.concat(tables)) if tables else set()
    return [method for method in study.config.methods if method in present]


def _bars(errors: ArrayLike) -> dict[str, Any]:
    return {"type": "data", "array": np.nan_to_num(np.asarray(errors, dtype=float)), "thickness": 1}


def _errors(table: pd.DataFrame, metric: str) -> np.ndarray:
    """Half the length of each bar: the spread between the runs of a setting, of one that was run once its error."""
    values = np.full(len(table), np.nan)
    for name in (metric + SPREAD, metric + STDERR) if NUM_REPEATS in table else (metric + STDERR,):
        known = table[name].to_numpy(dtype=float) if name in table else np.zeros(len(table))
        values = np.where(np.isnan(values), known, values)
    return np.asarray(np.nan_to_num(values))


def _bars_say(table: pd.DataFrame) -> str:
    """What the bars of a front are, for its legend."""
    return "(± 1 spread of its runs,\nits error if run once)" if NUM_REPEATS in table else "(± 1 standard error)"


def _hover(table: pd.DataFrame) -> list[str]:
    texts = [f"trial {row.trial_id}, step {row.step}<br>{row.method}" for row in table.itertuples()]
    runs = table[NUM_REPEATS] if NUM_REPEATS in table else [1] * len(table)
    return [f"{text}, {count} runs" if count > 1 else text for text, count in zip(texts, runs, strict=True)]


def _add_reports(
    figure: go.Figure, scene: Scene, table: pd.DataFrame, method: str, style: MethodStyle, opacity: float, name: str
) -> None:
    rows = table[table["method"] == method] if "method" in table else table
    if rows.empty:
        return
    marker = {"symbol": style.plotly_symbol, "size": 8, "color": style.colour}
    figure.add_scatter(
        x=rows[scene.x], y=rows[scene.y], mode="markers", name=name, marker=marker, opacity=opacity, text=_hover(rows)
    )  # fmt: skip


def _add_front(figure: go.Figure, study: Study, scene: Scene) -> None:
    members = scene.members
    if members.empty:
        return
    styles = [style_of(method, study.config.methods) for method in members["method"]]
    marker = {
        "symbol": [style.plotly_symbol for style in styles],
        "color": [style.colour for style in styles],
        "size": 12,
        "line": {"width": 1.5, "color": _INK},
    }
    figure.add_scatter(
        x=members[scene.x],
        y=members[scene.y],
        error_x=_bars(_errors(members, scene.x)),
        error_y=_bars(_errors(members, scene.y)),
        mode="lines+markers",
        line={"shape": "hv", "color": _GREY, "width": 1.5},
        marker=marker,
        text=_hover(members),
        name="front" if not study.is_finished else "front, re-measured",
    )
    if scene.choice.position is not None:
        best = members.iloc[scene.choice.position]
        star = {"symbol": "star", "size": 24, "color": "rgba(0,0,0,0)", "line": {"width": 2, "color": _INK}}
        figure.add_scatter(x=[best[scene.x]], y=[best[scene.y]], mode="markers", marker=star, name="recommended")


def front_picture(study: Study, path: Path) -> None:
    """Draws the front as a PNG that is legible at the width of a README (about 800 pixels).

    Args:
        study: what is drawn.
        path: the PNG to write; its directory must exist.
    """
    scene = compose(study)
    figure = Figure(figsize=(9.6, 5.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for method in _methods(study, scene):
        style = style_of(method, study.config.methods)
        for table, alpha in ((scene.infeasible, _FADED), (scene.feasible, _SOLID)):
            rows = table[table["method"] == method]
            _scatter(axes, rows[scene.x], rows[scene.y], style, alpha)
        _scatter(axes, [], [], style, _SOLID, label=method)
    _draw_front(axes, study, scene)
    for anchor in scene.anchors:
        _draw_anchor(axes, anchor)
    axes.set(xlim=scene.x_range, ylim=scene.y_range)
    axes.set_xlabel(axis_title(study, scene.x), fontsize=12)
    axes.set_ylabel(axis_title(study, scene.y), fontsize=12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        title = "faded: infeasible" + (f"\n({scene.num_outside} beyond the axes)" if scene.num_outside else "")
        figure.legend(handles, labels, loc="outside right upper", fontsize=10, title=title, frameon=False)
    figure.savefig(path, format="png")


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
        x, y, _errors(members, scene.y), _errors(members, scene.x), fmt="none", ecolor=_INK, elinewidth=1, zorder=3
    )  # fmt: skip
    for method, left, top in zip(members["method"], x, y, strict=True):
        style = style_of(method, study.config.methods)
        axes.scatter(left, top, c=style.colour, marker=style.matplotlib_marker, s=80, edgecolors=_INK, zorder=4)
    if scene.choice.position is not None:
        best = scene.choice.position
        star: dict[str, Any] = {"marker": "*", "facecolors": "none", "edgecolors": _INK, "linewidths": 1.6}
        axes.scatter(x[best], y[best], s=480, zorder=5, **star)
        axes.scatter([], [], s=120, label="recommended", **star)


def _draw_anchor(axes: Axes, anchor: Anchor) -> None:
    marker = _ANCHOR_SYMBOLS[anchor.name][1]
    axes.errorbar(
        anchor.x, anchor.y, np.nan_to_num(anchor.y_error), np.nan_to_num(anchor.x_error),
        fmt=marker, color=_INK, markersize=11, elinewidth=1, zorder=5, label=f"{anchor.name} model",
    )  # fmt: skip
