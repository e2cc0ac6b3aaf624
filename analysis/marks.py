"""What is drawn of reports, front members and baselines in the report's figures, the same in each of them.

The first entry of a mark's ``customdata`` is its key (`analysis.appearance`), by which the page finds what to show
beside it; ``meta`` says to the page's scripts what a trace is.
"""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from analysis.appearance import FONT_COLOUR, MUTED, mean_key, member_key, point_key
from analysis.configurations import NUM_REPEATS, SPREAD, STDERR
from analysis.load import Study
from analysis.method_style import style_of
from analysis.scene import REFERENCE_METHOD, Anchor, Scene
from tuning.baseline import RETRAINED, UNTOUCHED

#: baseline → its mark in plotly and in matplotlib.
ANCHOR_SYMBOLS: Final = {UNTOUCHED: ("x", "X"), RETRAINED: ("cross", "P"), REFERENCE_METHOD: ("diamond-wide-open", "d")}
_TITLE_WIDTH: Final = 26
FADED, SOLID = 0.5, 0.85
_HOVER: Final = "trial %{customdata[1]}, step %{customdata[2]}<br>(%{x:.4g}, %{y:.4g})"


def shown_label(study: Study, column: str) -> str:
    """The metric's label as text to plotly, which takes some HTML for markup."""
    return escape(study.label(column), quote=False)


def axis_title(study: Study, column: str) -> str:
    """The metric's label and which way is better."""
    better = {"minimize": "lower is better", "maximize": "higher is better"}
    directions = {objective.metric: better[objective.direction] for objective in study.objectives}
    label = shown_label(study, column)
    return f"{label}, {directions[column]}" if column in directions else label


def short_title(study: Study, column: str) -> str:
    """The same in lines of a width that an axis of a small figure has room for."""
    return "<br>".join(wrap(axis_title(study, column), _TITLE_WIDTH))


def anchor_title(anchor: Anchor) -> str:
    """What an anchor is called in a legend."""
    return f"{anchor.name} at its best" if anchor.trial_id is not None else f"{anchor.name} model"


def drawn_methods(study: Study, scene: Scene) -> list[str]:
    """The methods that are drawn, in the study's order."""
    tables = [table["method"] for table in (scene.feasible, scene.infeasible, scene.members) if "method" in table]
    present = set(pd.concat(tables)) if tables else set()
    return [method for method in study.config.methods if method in present]


def errors(table: pd.DataFrame, metric: str) -> np.ndarray:
    """Half the length of each bar: the spread between the runs of a setting, of one that was run once its error."""
    values = np.full(len(table), np.nan)
    for name in (metric + SPREAD, metric + STDERR) if NUM_REPEATS in table else (metric + STDERR,):
        known = table[name].to_numpy(dtype=float) if name in table else np.zeros(len(table))
        values = np.where(np.isnan(values), known, values)
    return np.asarray(np.nan_to_num(values))


def add_reports(figure: go.Figure, study: Study, scene: Scene, *, legend: bool = True, **where: int) -> None:
    """Of each method its legend, its feasible reports, and, hollow and faded, the others; also where there are none.

    Args:
        figure: what is drawn on.
        study: whose.
        scene: the points.
        legend: whether the methods get entries in the legend.
        where: ``row`` and ``col`` of a figure with several parts.
    """
    for method in drawn_methods(study, scene):
        style = style_of(method, study.config.methods)
        solid = {"symbol": style.plotly_symbol, "size": 8, "color": style.colour}
        # Plotly leaves what is empty out of its legend, but a bound that is moved may fill it.
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=method,
            legendgroup=method,
            showlegend=legend,
            marker=solid,
            **where,
        )
        for feasible, table in ((True, scene.feasible), (False, scene.infeasible)):
            points = table[table["method"] == method] if "method" in table else table
            figure.add_scatter(
                x=points[scene.x],
                y=points[scene.y],
                mode="markers",
                name=method if feasible else f"{method}, infeasible",
                legendgroup=method,
                showlegend=False,
                marker={**solid, "symbol": style.plotly_symbol + ("" if feasible else "-open")},
                opacity=SOLID if feasible else FADED,
                customdata=_keys(points),
                hovertemplate=f"{_HOVER}<extra>{method}</extra>",
                meta={**_axes_of(scene), "role": "reports", "method": method, "feasible": feasible},
                **where,
            )


def add_members(figure: go.Figure, study: Study, scene: Scene, *, line: bool, legend: bool, **where: int) -> None:
    """The front with its error bars, and its recommended member; arguments as of `add_reports`.

    Args:
        line: whether members are joined by the edge of what they dominate.
        legend: whether front and recommended member get entries in the legend.
    """
    members = scene.members
    if members.empty:
        return
    if line and study.is_finished:  # else the front of the search is the same, and drawn with its edge
        figure.add_scatter(
            x=list(members[scene.x]), y=list(members[scene.y]), mode="lines", name="edge of the front",
            line={"shape": "hv", "color": MUTED, "width": 1.5}, legendgroup="front", showlegend=False,
            hoverinfo="skip", meta={"role": "edge"}, **where,
        )  # fmt: skip
    styles = [style_of(method, study.config.methods) for method in members["method"]]
    symbols = [style.plotly_symbol for style in styles]
    marker = {
        "symbol": symbols,
        "color": [style.colour for style in styles],
        "size": 12,
        "line": {"width": 1.5, "color": FONT_COLOUR},
    }
    figure.add_scatter(
        x=list(members[scene.x]),
        y=list(members[scene.y]),
        error_x=_bars(errors(members, scene.x)),
        error_y=_bars(errors(members, scene.y)),
        mode="markers",
        marker=marker,
        text=_texts(members),
        customdata=_keys(members, members=study.is_finished),
        hovertemplate="%{text}<br>(%{x:.4g}, %{y:.4g})<extra>front</extra>",
        name="front" if not study.is_finished else "front, re-measured",
        legendgroup="front",
        showlegend=legend,
        meta={"role": "members", "symbols": symbols},
        **where,
    )
    if scene.choice.position is not None:
        best = members.iloc[scene.choice.position]
        star = {"symbol": "star", "size": 26, "color": "rgba(0,0,0,0)", "line": {"width": 2, "color": FONT_COLOUR}}
        figure.add_scatter(
            x=[best[scene.x]], y=[best[scene.y]], mode="markers", marker=star, name="recommended", hoverinfo="skip",
            showlegend=legend, meta={"role": "star"}, **where,
        )  # fmt: skip


def add_anchors(figure: go.Figure, scene: Scene, *, legend: bool = True, **where: int) -> None:
    """Untouched and retrained model and the reference method at its best; arguments as of `add_reports`."""
    for anchor in scene.anchors:
        size = 20 if anchor.trial_id is not None else 13
        marker = {"symbol": ANCHOR_SYMBOLS[anchor.name][0], "size": size, "color": FONT_COLOUR, "line": {"width": 1.5}}
        key = anchor.name if anchor.trial_id is None else point_key(anchor.trial_id, anchor.step)
        figure.add_scatter(
            x=[anchor.x], y=[anchor.y], mode="markers", name=anchor_title(anchor), marker=marker,
            error_x=_bars([anchor.x_error]), error_y=_bars([anchor.y_error]), showlegend=legend,
            customdata=[[key, anchor.trial_id or "", anchor.step or 0]],
            hovertemplate="%{fullData.name}<br>(%{x:.4g}, %{y:.4g})<extra></extra>", **where,
        )  # fmt: skip


def _axes_of(scene: Scene) -> dict[str, Any]:
    return {"x": scene.x, "y": scene.y, "x_unit": scene.x_unit}


def _bars(values: ArrayLike) -> dict[str, Any]:
    array = np.nan_to_num(np.asarray(values, dtype=float))
    return {"type": "data", "array": array, "thickness": 1, "color": FONT_COLOUR}


def _keys(table: pd.DataFrame, *, members: bool = False) -> list[list[object]]:
    if table.empty:
        return []
    key = member_key if members else mean_key if NUM_REPEATS in table else point_key
    return [
        [key(trial, int(step)), str(trial), int(step)]
        for trial, step in zip(table["trial_id"], table["step"], strict=True)
    ]


def _texts(table: pd.DataFrame) -> list[str]:
    texts = [f"trial {row.trial_id}, step {row.step}<br>{row.method}" for row in table.itertuples()]
    runs = table[NUM_REPEATS] if NUM_REPEATS in table else [1] * len(table)
    return [f"{text}, {count} runs" if count > 1 else text for text, count in zip(texts, runs, strict=True)]
