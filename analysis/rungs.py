"""What reports at each rung came to, and how far trials went: where it would have been right to stop."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.appearance import LEGEND_BELOW
from analysis.load import Study
from analysis.marks import short_title
from analysis.method_style import MethodStyle, style_of
from analysis.settings import is_wide, methods_in, of_method, shown_metrics
from analysis.table import numeric
from analysis.trajectories import trajectories
from tuning.records import TrialState

_COLUMNS: Final = ("rung", "step", "reports", "feasible", "stopped", "failed")
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_PANEL_HEIGHT: Final = 280


def rung_table(study: Study) -> pd.DataFrame:
    """One row a rung, in order of the steps.

    Returns:
        ``rung, step``; ``reports``, how many there are; ``feasible``, how many of them keep every bound; ``stopped``
        and ``failed``, trials of which it was the last report though there were rungs left, by how they ended (COMPLETE
        or FAIL); and the median of each objective and bounded metric over the finite values, NaN where there is none.
        Empty where nothing was reported.
    """
    reports = study.reports
    metrics = shown_metrics(study, reports)
    if reports.empty:
        return pd.DataFrame(columns=[*_COLUMNS, *metrics])
    feasible = trajectories(study).query("step > 0").groupby("step")["feasible"].sum()
    last = reports.groupby("trial_id")["step"].max()
    early = last[last < max(study.config.rungs)]
    ended = {state: _last_steps(study, early, state) for state in (TrialState.COMPLETE, TrialState.FAIL)}
    table = []
    for step, of_step in reports.groupby("step", sort=True):
        counts = [int((steps == step).sum()) for steps in ended.values()]
        values = [_median(of_step, metric) for metric in metrics]
        table.append((int(of_step["rung"].iloc[0]), step, len(of_step), int(feasible.get(step, 0)), *counts, *values))
    return pd.DataFrame(table, columns=[*_COLUMNS, *metrics])


def _last_steps(study: Study, last: pd.Series, state: TrialState) -> pd.Series:
    if study.trials.empty:
        return last.iloc[:0]
    ended = study.trials.loc[study.trials["state"] == state, "trial_id"]
    return last[last.index.isin(ended)]


def _median(table: pd.DataFrame, metric: str) -> float:
    values = numeric(table, [metric])[:, 0]
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan


def stopping_figure(study: Study) -> go.Figure:
    """Median of each objective and bounded metric at each step, and the share of feasible reports, by method."""
    table = trajectories(study)
    metrics = shown_metrics(study, table)
    titles = [*(short_title(study, metric) for metric in metrics), "share feasible"]
    num_rows = (len(titles) + 1) // 2
    figure = make_subplots(rows=num_rows, cols=2, vertical_spacing=0.34 / num_rows, horizontal_spacing=0.14)
    for method in methods_in(study, table):
        of = of_method(table, method)
        style, dash = style_of(method, study.config.methods), _dash(study, method)
        for place, name in enumerate([*metrics, "feasible"]):
            by_step = of.assign(**{name: numeric(of, [name])[:, 0]}).groupby("step")[name]
            values = by_step.mean() if name == "feasible" else by_step.median()
            _add_line(figure, values, method, style, dash, place)
    for place, metric in enumerate(metrics):
        if is_wide(table.groupby(["method", "step"])[metric].median()):
            figure.update_yaxes(type="log", row=place // 2 + 1, col=place % 2 + 1)
    for place, title in enumerate(titles):
        where = {"row": place // 2 + 1, "col": place % 2 + 1}
        figure.update_yaxes(title_text=title, title_font_size=12, **where)
        figure.update_xaxes(title_text="step", title_font_size=12, title_standoff=4, **where)
    figure.update_yaxes(range=[-0.03, 1.03], row=(len(titles) - 1) // 2 + 1, col=(len(titles) - 1) % 2 + 1)
    figure.update_layout(template="plotly_white", height=_PANEL_HEIGHT * num_rows + 90, **LEGEND_BELOW)
    return figure


def _dash(study: Study, method: str) -> str:
    """Lines of two methods differ by their dashes too."""
    return _DASHES[list(study.config.methods).index(method) % len(_DASHES)]


def _add_line(figure: go.Figure, values: pd.Series, method: str, style: MethodStyle, dash: str, place: int) -> None:
    figure.add_scatter(
        x=list(values.index), y=values, mode="lines+markers", name=method, legendgroup=method, showlegend=place == 0,
        line={"color": style.colour, "dash": dash}, marker={"symbol": style.plotly_symbol, "size": 7},
        row=place // 2 + 1, col=place % 2 + 1,
    )  # fmt: skip
