"""What each method reaches by itself: its own front among the feasible reports of a study."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.appearance import LEGEND_BELOW
from analysis.front import pareto_front
from analysis.load import Study
from analysis.marks import axis_title
from analysis.method_style import style_of
from analysis.scene import axes, can_judge
from analysis.settings import methods_in, of_method


def method_fronts(study: Study) -> pd.DataFrame:
    """The members of every method's own front, as the search measured them, method by method.

    Returns:
        Rows of `Study.points`, within a method in order of the first objective, best first. A method without a feasible
        report has none; empty where the untouched model that bounds refer to was not measured yet.
    """
    points = study.points
    if points.empty or not can_judge(study):
        return points.iloc[[]]
    goals = (study.objectives, study.constraints, study.search_reference)
    return pd.concat([pareto_front(of_method(points, method), *goals) for method in methods_in(study, points)])


def method_fronts_figure(study: Study) -> go.Figure:
    """Every method's own front as a line; the axes are those of `analysis.plots.front_figure`."""
    x, y = axes(study)
    table, figure = method_fronts(study), go.Figure()
    for method in methods_in(study, table):
        of, style = of_method(table, method), style_of(method, study.config.methods)
        figure.add_scatter(
            x=of[x], y=of[y], name=method, mode="lines+markers" if len(study.objectives) == 2 else "markers",
            line={"shape": "hv", "color": style.colour, "width": 1.5},
            marker={"symbol": style.plotly_symbol, "color": style.colour, "size": 9},
            text=[f"trial {trial}, step {step}" for trial, step in zip(of["trial_id"], of["step"], strict=True)],
        )  # fmt: skip
    figure.update_layout(template="plotly_white", height=480, hovermode="closest", showlegend=True, **LEGEND_BELOW)
    figure.update_xaxes(title_text=axis_title(study, x))
    figure.update_yaxes(title_text=axis_title(study, y))
    return figure
