"""Pictures of several studies on the same axes: colour says which study, shape which method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.common_scale import front_on
from analysis.comparable import Scale, labelled, scale_of
from analysis.compute import hypervolume_by_compute
from analysis.load import Study
from analysis.method_style import COLOURS, style_of
from analysis.scene import hypervolume_by_trial
from analysis.table import rows
from tuning.baseline import RETRAINED, UNTOUCHED

INK, GREY = "#222222", "#777777"
#: Names are cut to this in a legend; texts that follow the mouse have them whole.
_LONGEST: Final = 40
_DASHES: Final = ("solid", "dash", "dot", "dashdot")
_ANCHORS: Final = {UNTOUCHED: "x", RETRAINED: "cross"}


@dataclass(frozen=True)
class Line:
    """How one of several things is drawn: beyond seven colours the dashes differ."""

    colour: str
    dash: str


def line_of(name: str, names: Sequence[str]) -> Line:
    """The line of a study or group, the same in every picture of a comparison."""
    number = list(names).index(name) // len(COLOURS)
    return Line(style_of(name, names).colour, _DASHES[number % len(_DASHES)])


def fronts_figure(studies: Sequence[Study]) -> go.Figure:
    """The studies' fronts on the same axes: re-measured where a study is finished, else over its reports so far.

    The axes are the first two objectives, as gains where the metrics themselves do not compare (`analysis.comparable`);
    with one objective the step is beside it. Bars are standard errors, of repeated settings spreads between runs.

    Raises:
        StudyError: as `analysis.comparable.scale_of`.
    """
    known, scale = labelled(studies), scale_of(studies)
    x, y = axes_on(scale)
    methods = list(dict.fromkeys(method for study in studies for method in study.config.methods))
    figure, drawn = go.Figure(), set[str]()
    for label, study in known.items():
        front = front_on(study, scale)
        drawn |= set(front["method"])
        _add_legend(
            figure, label, line_of(label, list(known)), len(front) > 0, title="study" if not figure.data else ""
        )
        _add_front(figure, front, (x, y), label, line_of(label, list(known)), methods)
    for method in (method for method in methods if method in drawn):
        marker = {"symbol": style_of(method, methods).plotly_symbol, "size": 9, "color": GREY}
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=shown(method), marker=marker, legendgroup="methods",
            legendgrouptitle={"text": "method"}, hoverinfo="skip",
        )  # fmt: skip
    if len(scale.objectives) > 1:
        add_anchors(figure, studies, scale)
    lay_out(figure, height=560)
    name_axes(figure, studies[0], scale)
    return figure


def hypervolumes_figure(studies: Sequence[Study]) -> go.Figure:
    """The hypervolume of all reports (untouched model 0, ideal 1) over the number of trials that reported.

    Studies without an ideal, or without reports, are named in the legend and have no line.

    Raises:
        StudyError: as `analysis.comparable.labelled`.
    """
    tables = {label: hypervolume_by_trial(study) for label, study in labelled(studies).items()}
    counted = {label: table.assign(count=range(1, len(table) + 1)) for label, table in tables.items()}
    return _growth(counted, "count", "trials that reported")


def hypervolumes_by_compute_figure(studies: Sequence[Study]) -> go.Figure:
    """The same over the hours of all workers together: what searches that stop trials early are to be compared by.

    Raises:
        StudyError: as `analysis.comparable.labelled`.
    """
    tables = {label: hypervolume_by_compute(study) for label, study in labelled(studies).items()}
    timed = {label: table.assign(hours=table["seconds"].astype(float) / 3600) for label, table in tables.items()}
    return _growth(timed, "hours", "hours of workers")


def _growth(tables: Mapping[str, pd.DataFrame], column: str, title: str) -> go.Figure:
    """A rising line a study, over a column of its table."""
    figure = go.Figure()
    for label, table in tables.items():
        line = line_of(label, list(tables))
        figure.add_scatter(
            x=list(table[column]) or [None],
            y=list(table["hypervolume"]) or [None],
            mode="lines",
            line={"shape": "hv", "color": line.colour, "dash": line.dash},
            name=shown(label) if len(table) else f"{shown(label)} (not known)",
            text=[f"{escape(label)}, trial {trial}" for trial in table["trial_id"]],
        )
    lay_out(figure, height=380)
    apart: dict[str, Any] = {"rangemode": "tozero", "ticks": "outside", "ticklen": 6}  # both have a 0 in one corner
    figure.update_xaxes(title_text=title, **apart)
    figure.update_yaxes(title_text="hypervolume (untouched 0, ideal 1)", **apart)
    return figure


def lay_out(figure: go.Figure, height: int) -> None:
    """What all figures of a comparison look like."""
    legend = {"itemsizing": "constant", "tracegroupgap": 4}
    figure.update_layout(template="plotly_white", height=height, hovermode="closest", showlegend=True, legend=legend)
    figure.update_layout(margin={"t": 30, "b": 60})


def shown(name: str) -> str:
    """A name as plotly takes it, which reads tags and entities, and short enough for a legend."""
    return escape(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…", quote=False)


def axes_on(scale: Scale) -> tuple[str, str]:
    """The columns of a front that are drawn: two objectives, or the one and its step."""
    x, y, *_ = [*scale.columns, "step"]
    return x, y


def name_axes(figure: go.Figure, study: Study, scale: Scale) -> None:
    """Titles of both axes: the metric's label and which way is better."""
    titles = []
    for objective in scale.objectives[:2]:
        better = "lower" if objective.sign > 0 else "higher"
        end = "gain (untouched 0, ideal 1)" if scale.in_gains else f"{better} is better"
        titles.append(f"{shown(study.label(objective.metric))}, {end}")
    x, y, *_ = [*titles, "step"]
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)


def add_anchors(figure: go.Figure, studies: Sequence[Study], scale: Scale) -> None:
    """Untouched and retrained models, of every study in one trace; of gains the two ends of the scale."""
    x, y = (objective.metric for objective in scale.objectives[:2])
    for model, symbol in _ANCHORS.items():
        points = _ends(studies, model, x, y)
        if scale.in_gains:
            points = [(0.0, 0.0) if model == UNTOUCHED else (1.0, 1.0)]
        if points:
            name = "ideal" if scale.in_gains and model == RETRAINED else model
            marker = {"symbol": symbol, "size": 12, "color": INK}
            figure.add_scatter(
                x=[point[0] for point in points], y=[point[1] for point in points], mode="markers", name=name,
                marker=marker, legendgroup="models", legendgrouptitle={"text": "models"},
            )  # fmt: skip


def _ends(studies: Sequence[Study], model: str, x: str, y: str) -> list[tuple[float, float]]:
    measured = [study.baseline.values(model) for study in studies]
    return list(
        dict.fromkeys((of[x], of[y]) for of in measured if np.isfinite([of.get(x, np.nan), of.get(y, np.nan)]).all())
    )


def _add_legend(figure: go.Figure, label: str, line: Line, has_front: bool, title: str) -> None:
    """A study's line without a shape, which would be that of a method."""
    figure.add_scatter(
        x=[None], y=[None], mode="lines", line={"color": line.colour, "dash": line.dash, "width": 3},
        name=shown(label) if has_front else f"{shown(label)} (no front)", legendgroup=f"study {label}",
        legendgrouptitle={"text": title} if title else None, hoverinfo="skip",
    )  # fmt: skip


def _add_front(
    figure: go.Figure, front: pd.DataFrame, axes: tuple[str, str], label: str, line: Line, methods: Sequence[str]
) -> None:
    x, y = axes
    symbols = [style_of(method, methods).plotly_symbol for method in front["method"]]
    texts = [
        f"{escape(label)}<br>trial {row['trial_id']}, step {row['step']}<br>{escape(str(row['method']))}"
        for row in rows(front)
    ]
    figure.add_scatter(
        x=front[x],
        y=front[y],
        error_x=_bars(front, x),
        error_y=_bars(front, y),
        mode="markers" if y == "step" else "lines+markers",
        line={"shape": "hv", "color": line.colour, "width": 1.5, "dash": line.dash},
        marker={"symbol": symbols or "circle", "size": 10, "color": line.colour},
        text=texts,
        name=shown(label),
        showlegend=False,
        legendgroup=f"study {label}",
    )


def _bars(front: pd.DataFrame, column: str) -> dict[str, Any] | None:
    name = f"{column}_error"
    return {"type": "data", "array": front[name], "thickness": 1, "width": 3} if name in front else None
