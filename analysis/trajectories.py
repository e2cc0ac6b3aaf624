"""How trials move through the objectives, report by report: the step at which to stop is an outcome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.appearance import LEGEND_BELOW, point_key
from analysis.front import violations
from analysis.load import Study
from analysis.marks import axis_title
from analysis.method_style import style_of
from analysis.scene import can_judge, compose
from analysis.settings import methods_in, of_method, shown_metrics
from analysis.table import rows

#: Key of the points at step 0, where every trial begins.
UNTOUCHED_POINT = "untouched"


def trajectories(study: Study) -> pd.DataFrame:
    """Every report, trial by trial in the order of its steps, from the untouched model on.

    Returns:
        ``trial_id, method, step``, each objective, each bounded metric, ``feasible``. A trial's first row is at step 0,
        with the values of the untouched model as trials measure it, where it was measured. Values that were not
        measured are NaN; ``feasible`` is judged by the study's bounds, and False while they cannot be judged. Empty
        where nothing was reported.
    """
    reports = study.reports
    metrics = shown_metrics(study, reports)
    columns = ["trial_id", "method", "step", *metrics]
    if reports.empty:
        return pd.DataFrame(columns=[*columns, "feasible"])
    table = reports[columns].copy()
    known = study.search_reference
    if all(goal.metric in known for goal in study.objectives):
        starts = table.drop_duplicates("trial_id")[["trial_id", "method"]]
        starts = starts.assign(step=0, **{metric: known.get(metric, np.nan) for metric in metrics})
        table = pd.concat([starts, table])
    table = table.sort_values(["trial_id", "step"], kind="stable", ignore_index=True)
    judged = violations(table, study.constraints, known) == 0 if can_judge(study) else np.zeros(len(table), dtype=bool)
    return table.assign(feasible=judged)


def trajectories_figure(study: Study) -> go.Figure:
    """A line a trial through its reports, by method; markers grow with the step, hollow ones are infeasible.

    In the report a trial is drawn over the others while it is pointed at. The axes are those of the front's picture.
    """
    scene, table = compose(study), trajectories(study)
    figure = go.Figure()
    steps = sorted(set(table["step"]))
    for method in methods_in(study, table):
        style = style_of(method, study.config.methods)
        line = _with_gaps(of_method(table, method), scene.x, scene.y)
        sizes = [4 + 5 * steps.index(step) / max(1, len(steps) - 1) if step in steps else 0 for step in line["step"]]
        marker = {
            "color": style.colour,
            "symbol": [style.plotly_symbol + ("" if kept else "-open") for kept in line["feasible"]],
            "size": sizes,
        }
        figure.add_scatter(
            x=line[scene.x],
            y=line[scene.y],
            mode="lines+markers",
            name=method,
            line={"color": style.colour, "width": 1},
            marker=marker,
            opacity=0.6,
            text=[f"trial {row['trial_id']}, step {row['step']}<br>{method}" for row in rows(line)],
            customdata=[_key(row) for row in rows(line)],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_layout(template="plotly_white", height=520, hovermode="closest", **LEGEND_BELOW)
    figure.update_layout(meta={"x": scene.x, "y": scene.y})
    figure.update_xaxes(title_text=axis_title(study, scene.x), range=scene.x_range)
    figure.update_yaxes(title_text=axis_title(study, scene.y), range=scene.y_range)
    return figure


def _with_gaps(table: pd.DataFrame, *needed: str) -> pd.DataFrame:
    """One table with an empty row after each trial, where its line ends."""
    table = table.reindex(columns=list(dict.fromkeys([*table.columns, *needed])))
    ends = table.drop_duplicates("trial_id", keep="last").assign(step=-1)
    ends[list(needed)] = np.nan
    joined = pd.concat([table, ends]).sort_values("trial_id", kind="stable", ignore_index=True)
    return joined.assign(feasible=joined["feasible"].astype(bool))


def _key(row: dict[str, object]) -> str:
    step = int(str(row["step"]))
    if step < 0:
        return ""
    return point_key(row["trial_id"], step) if step else f"{UNTOUCHED_POINT}:{row['trial_id']}"
