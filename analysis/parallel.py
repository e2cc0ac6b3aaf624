"""Parallel coordinates: settings, step and metrics of every report as one line, to be narrowed down axis by axis."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.appearance import FONT_COLOUR
from analysis.load import Study
from analysis.method_style import style_of
from analysis.settings import is_wide, methods_in, of_method, sampled_columns, shown_metrics
from analysis.table import numeric

ALL_METHODS: Final = "all methods"
_MAX_TICKS: Final = 6


def parallel_figure(study: Study) -> go.Figure:
    """Reports as lines over axes of method, settings, step and metrics; a menu chooses all methods or one of them.

    Of all methods together the axes are what all have, and the colour is the method's. Of one method its parameters are
    axes too, and the colour is the first objective. Wide positive axes are logarithmic. A report without a value on
    some axis has no line.
    """
    reports, figure = study.reports, go.Figure()
    methods = methods_in(study, reports)
    views = [ALL_METHODS, *methods] if len(methods) != 1 else methods
    for view in views if methods else []:
        trace = _of_all(study, methods) if view == ALL_METHODS else _of_one(study, view)
        figure.add_trace(trace.update(visible=view == views[0], name=view))
    buttons = [
        {"label": view, "method": "restyle", "args": [{"visible": [other == view for other in views]}]}
        for view in views
    ]
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.42, "yanchor": "top", "active": 0}
    font = {"color": FONT_COLOUR, "size": 12, "family": "system-ui, sans-serif"}
    figure.update_layout(
        template="plotly_white", height=440, font=font, margin={"l": 90, "r": 60, "t": 120, "b": 30},
        updatemenus=[menu] if len(methods) > 1 else [],
    )  # fmt: skip
    return figure


def _of_all(study: Study, methods: list[str]) -> go.Parcoords:
    metrics = shown_metrics(study, study.reports)
    table = _measured(study.reports, ["step", *metrics])
    codes = table["method"].map({method: place for place, method in enumerate(methods)}).to_numpy(dtype=float)
    of_method_axis = {
        "label": "method", "values": codes, "tickvals": list(range(len(methods))), "ticktext": methods,
        "range": [-0.3, len(methods) - 0.7],
    }  # fmt: skip
    colours = [style_of(method, study.config.methods).colour for method in methods]
    edges = np.linspace(0, 1, len(methods) + 1)
    scale = [[edge, colour] for n, colour in enumerate(colours) for edge in edges[n : n + 2]]
    line = {"color": codes, "colorscale": scale, "cmin": -0.5, "cmax": len(methods) - 0.5}
    return go.Parcoords(line=line, dimensions=[of_method_axis, *_axes(table, ["step", *metrics])], labelangle=-12)


def _of_one(study: Study, method: str) -> go.Parcoords:
    reports = of_method(study.reports, method)
    metrics = shown_metrics(study, reports)
    columns = [*sampled_columns(study, reports), "step", *metrics]
    table = _measured(reports, columns)
    line = {
        "color": numeric(table, metrics[:1])[:, 0], "colorscale": "Cividis", "showscale": True,
        "colorbar": {"title": {"text": metrics[0]}, "thickness": 14},
    }  # fmt: skip
    return go.Parcoords(line=line, dimensions=_axes(table, columns), labelangle=-12)


def _measured(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return table.iloc[np.flatnonzero(np.isfinite(numeric(table, columns)).all(axis=1))]


def _axes(table: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    return [_axis(name, numeric(table, [name])[:, 0]) for name in columns]


def _axis(name: str, values: np.ndarray) -> dict[str, Any]:
    """One axis: its own values as ticks where they are few, decades and their halves where they are wide."""
    distinct = np.unique(values)
    if is_wide(values) and len(distinct) > _MAX_TICKS:
        ticks = np.geomspace(distinct[0], distinct[-1], _MAX_TICKS)
        return {
            "label": name, "values": np.log10(values), "tickvals": np.log10(ticks),
            "ticktext": [f"{tick:.0f}" if tick >= 100 else f"{tick:.2g}" for tick in ticks],
        }  # fmt: skip
    if 0 < len(distinct) <= _MAX_TICKS:
        return {"label": name, "values": values, "tickvals": distinct, "ticktext": [f"{tick:.3g}" for tick in distinct]}
    return {"label": name, "values": values}
