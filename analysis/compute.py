"""What a study's compute bought: the hypervolume over the workers' seconds, and where these went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pandas as pd
import plotly.graph_objects as go

from analysis.appearance import FONT_COLOUR, NO_LEGEND
from analysis.configurations import is_repeated, points_of
from analysis.front import hypervolume, pareto_front
from analysis.growing_front import GrowingFront
from analysis.load import Study
from analysis.scene import can_judge
from analysis.table import numeric, rows
from tuning.events import Event, EventName, read_events
from tuning.launches import launches, total_seconds

_COLUMNS: Final = ("seconds", "trial_id", "step", "hypervolume")
_HOUR: Final = 3600.0


def hypervolume_by_compute(study: Study) -> pd.DataFrame:
    """The normalised hypervolume after each report, in the order in which reports came.

    Returns:
        ``seconds``: of all workers together, inside of trials, up to and with this report; ``trial_id, step``: the
        report; ``hypervolume``: of the front of all candidates so far, of repeated settings (a row an ended trial) of
        their means. The order and the seconds are those of ``events.jsonl``; where it tells of no report, trials in the
        order of their ids count as a whole, by ``seconds`` of ``trials.csv``. Empty where neither is known, or no
        hypervolume is defined.
    """
    ideal, reports = study.ideal, study.candidates
    if ideal is None or reports.empty or not can_judge(study):
        return pd.DataFrame(columns=list(_COLUMNS))
    known = {(str(row["trial_id"]), int(row["step"])): row for row in rows(reports)}
    order = [place for place in _order(study) if place[1:] in known]
    if is_repeated(reports):
        return _of_means(study, ideal, order)
    front = GrowingFront(study.goals)
    table = []
    for seconds, trial_id, step in order:
        front.add(known[trial_id, step])
        table.append((seconds, trial_id, step, front.hypervolume))
    return pd.DataFrame(table, columns=list(_COLUMNS))


def _of_means(study: Study, ideal: dict[str, float], order: list[tuple[float, str, int]]) -> pd.DataFrame:
    """A mean can fall behind what it was, so that a front is taken anew after each trial."""
    last = {trial_id: (seconds, step) for seconds, trial_id, step in order}
    table, so_far = [], set[str]()
    for trial_id, (seconds, step) in sorted(last.items(), key=lambda item: item[1][0]):
        so_far.add(trial_id)
        reports, trials = (of[of["trial_id"].isin(so_far)] for of in (study.candidates, study.trials))
        front = pareto_front(
            points_of(reports, trials), study.objectives, study.constraints, study.search_reference
        )  # fmt: skip
        table.append((seconds, trial_id, step, hypervolume(front, study.objectives, study.search_reference, ideal)))
    return pd.DataFrame(table, columns=list(_COLUMNS))


def _order(study: Study) -> list[tuple[float, str, int]]:
    """(seconds so far, trial, step) of each report, as they came."""
    return list(_by_events(read_events(study.files.events))) or list(_by_trials(study))


def _by_events(events: Iterator[Event]) -> Iterator[tuple[float, str, int]]:
    """A trial's end adds what its reports did not account for: loading, saving, and steps that led to no report."""
    total, reported = 0.0, dict[str, float]()
    for event in events:
        trial_id = event.trial_id
        if trial_id is None:
            continue
        if event.name == EventName.REPORT:
            seconds = _number(event, "training_seconds") + _number(event, "evaluation_seconds")
            total += seconds
            reported[trial_id] = reported.get(trial_id, 0.0) + seconds
            if isinstance(step := event.facts.get("step"), int):
                yield total, trial_id, step
        elif event.name == EventName.TRIAL_ENDED:
            total += max(0.0, _number(event, "seconds") - reported.pop(trial_id, 0.0))


def _number(event: Event, name: str) -> float:
    value = event.facts.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _by_trials(study: Study) -> Iterator[tuple[float, str, int]]:
    if study.trials.empty:
        return
    total = 0.0
    steps = study.reports.groupby("trial_id")["step"].apply(list).to_dict()
    seconds = numeric(study.trials, ["seconds"])[:, 0]
    ended = pd.Series(seconds, index=study.trials["trial_id"]).dropna().sort_index()
    for trial_id, spent in ended.items():
        total += float(spent)
        yield from ((total, str(trial_id), int(step)) for step in sorted(steps.get(trial_id, [])))


def time_table(study: Study) -> pd.DataFrame:
    """``part, seconds, share``: where the time of all slots went, from ``events.jsonl``.

    The parts are training, evaluation, other (inside of trials: loading, saving, what was cut off) and idle, as
    `tuning.launches.Seconds` has them; shares sum to 1. Empty where no trial was started, or nothing says so.
    """
    seconds = total_seconds(launches(read_events(study.files.events)))
    parts = {} if seconds is None else vars(seconds)
    table = pd.DataFrame({"part": list(parts), "seconds": [float(value) for value in parts.values()]})
    total = float(table["seconds"].sum())
    return table.assign(share=table["seconds"] / total if total else 0.0)


def compute_figure(study: Study) -> go.Figure:
    """The hypervolume over the hours (or, of a small study, the seconds) of all workers together."""
    table = hypervolume_by_compute(study)
    figure = go.Figure()
    unit, name = (_HOUR, "hours") if len(table) and table["seconds"].iloc[-1] >= _HOUR else (1.0, "seconds")
    figure.add_scatter(
        x=table["seconds"] / unit, y=table["hypervolume"], mode="lines+markers", marker={"size": 4},
        line={"shape": "hv", "color": FONT_COLOUR}, customdata=table["trial_id"], text=table["step"],
        hovertemplate="%{x:.4g}: %{y:.3f}<br>trial %{customdata}, step %{text}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(template="plotly_white", height=320, **NO_LEGEND)
    figure.update_xaxes(title_text=f"{name} of all workers together", rangemode="tozero")
    figure.update_yaxes(title_text="hypervolume", rangemode="tozero", ticklabelstandoff=6)
    return figure
