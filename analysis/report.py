"""``report.html``: everything there is to say about a study on one page that needs no network.

``python -m analysis.report NAME`` writes it anew, also while the study runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from html import escape as html_escape
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from rich.console import Console
from rich.markup import escape

from analysis import page
from analysis.configurations import NUM_REPEATS, SPREAD
from analysis.front import over_forgotten
from analysis.load import Study, StudyError, load_study
from analysis.plots import front_figure, hypervolume_figure
from analysis.scene import Scene, compose, hypervolume_by_trial, nearest
from analysis.table import rows, with_error
from tuning.baseline import MODELS, RETRAINED, UNSEEN, UNTOUCHED, UNTOUCHED_SEARCH, Measured
from tuning.config import StudyConfig, to_yaml
from tuning.constraints import RATIO, RATIO_STDERR
from tuning.files import write_text_atomic
from tuning.outcome import TIME_BUDGET
from tuning.records import STOPPED_EARLY

_MODEL_TITLES = {
    UNTOUCHED: "untouched",
    UNTOUCHED_SEARCH: "untouched, as trials measure",
    RETRAINED: "retrained",
    UNSEEN: "images not memorised",
}
_REPEATED = (
    "Values are means over the runs of a setting, their spread is the standard deviation from run to run. The model is "
    "that of the run named, the best of them by itself."
)
_PICTURE_KINDS = ("samples", "denoisings")


def write_report(study_root: Path | str) -> Path:
    """Writes ``report.html`` into a study's directory.

    Args:
        study_root: ``<storage-path>/<name>``.

    Returns:
        The page.

    Raises:
        StudyError: there is no study, or one of its files cannot be read.
        OSError: the page cannot be written.
    """
    study = load_study(study_root)
    scene = compose(study)
    sections = [
        _heading(study, scene),
        page.section("Front", _figure(front_figure(study), inline=True), _outside(scene)),
        page.section("Members of the front", *_members(study, scene)),
        page.section("Baselines", *_baselines(study)),
        _images(study),
        page.section("Hypervolume by trial", *_hypervolume(study)),
        page.section("Trials and failures", *_trials(study)),
        page.section("Configuration", page.preformatted(to_yaml(study.config))),
    ]
    write_text_atomic(study.files.report, page.page(f"Study {study.name}", [part for part in sections if part]))
    return study.files.report


def _figure(figure: go.Figure, inline: bool = False) -> str:
    """A figure as HTML; the first one of a page carries plotly's script."""
    html: str = figure.to_html(full_html=False, include_plotlyjs="inline" if inline else False)
    return html


def _heading(study: Study, scene: Scene) -> str:
    state = (
        "finished" if study.is_finished else "still running or interrupted: what follows is what was reported so far"
    )
    ended = len(study.trials) - len(_in_state(study, "RUNNING"))
    parts = [f"<h1>{html_escape(study.name)}</h1>", page.paragraph(f"Study {state}.", "note")]
    goals = ", ".join(map(str, study.objectives))
    bounds = ", ".join(map(str, study.constraints)) or "no bound"
    progress = f"{ended} of {study.config.num_trials} trials ended, {len(study.reports)} reports."
    parts.append(page.paragraph(f"{progress} Searched to {goals} under {bounds}."))
    if scene.members.empty and not study.candidates.empty and study.untouched:
        parts.append(page.paragraph(_no_front(study, scene), "warning"))
    parts.append(page.paragraph(scene.choice.rule))
    return "\n".join(parts)


def _no_front(study: Study, scene: Scene) -> str:
    if scene.feasible.empty:
        return f"No feasible report. {nearest(study, study.constraints)}"
    return (
        f"{len(scene.feasible)} reports keep the bounds, but none of those that were re-measured does. "
        "Measure with more images, loosen the bound, or run more trials."
    )


def _in_state(study: Study, state: str) -> list[dict[str, Any]]:
    return [trial for trial in rows(study.trials) if trial["state"] == state]


def _outside(scene: Scene) -> str:
    text = f"{scene.num_outside} infeasible reports lie beyond the axes; zoom out to see them."
    return page.paragraph(text, "note") if scene.num_outside else ""


def _members(study: Study, scene: Scene) -> list[str]:
    members = scene.members
    if members.empty:
        return [page.paragraph("There is none yet." if not study.is_finished else "There is none.")]
    bounded = [bound.metric for bound in study.constraints]
    metrics = list(dict.fromkeys([*(goal.metric for goal in study.objectives), *bounded]))
    others = [metric for metric in study.config.report_metrics if metric in members and metric not in metrics]
    parameters = _parameters(study, members)
    searched = [metric for metric in metrics if f"{metric}_search" in members]
    ratios = [bound.metric for bound in study.constraints if bound.relative and bound.metric + RATIO in members]
    repeated = NUM_REPEATS in members
    spreads = [metric for metric in metrics if repeated and metric + SPREAD in members]
    header = ["", "trial", "method", "step", *(["runs"] if repeated else []), *parameters]
    header += [study.label(metric) for metric in metrics]
    header += [f"{study.label(metric)}, spread of the runs" for metric in spreads]
    header += [f"{study.label(metric)}, times the untouched model's" for metric in ratios]
    header += [f"{study.label(metric)}, in the search" for metric in searched]
    header += [study.label(metric) for metric in others] + ["feasible", "model"]
    beyond = [False] * len(members)
    if study.ideal is not None:
        beyond = list(over_forgotten(members, study.objectives, study.member_reference, study.ideal))
    lines: list[list[str | page.Link]] = []
    for position, row in enumerate(rows(members)):
        mark = "★" if position == scene.choice.position else ""
        cells: list[str | page.Link] = [
            mark + (" over-forgotten" if beyond[position] else ""),
            str(row["trial_id"]),
            str(row["method"]),
        ]
        cells += [str(row["step"]), *([str(row[NUM_REPEATS])] if repeated else [])]
        cells += [with_error(row.get(name)) for name in parameters]
        cells += [with_error(row.get(metric), row.get(f"{metric}_stderr")) for metric in metrics]
        cells += [with_error(row.get(metric + SPREAD)) for metric in spreads]
        cells += [with_error(row.get(metric + RATIO), row.get(metric + RATIO_STDERR)) for metric in ratios]
        cells += [with_error(row.get(f"{metric}_search")) for metric in searched]
        cells += [with_error(row.get(metric), row.get(f"{metric}_stderr")) for metric in others]
        cells += ["yes" if row.get("feasible", True) else "no", _checkpoint(row.get("checkpoint"))]
        lines.append(cells)
    measured = "Values are re-measured with seeds that no trial saw." if study.is_finished else "Not re-measured yet."
    legend = "★ recommended. Over-forgotten: beyond the ideal by two standard errors, which can be detected."
    note = f"{measured} {legend} {_REPEATED}" if repeated else f"{measured} {legend}"
    return [page.table(header, lines, scene.choice.position), page.paragraph(note, "note")]


def _parameters(study: Study, table: pd.DataFrame) -> list[str]:
    """The columns of hyper-parameters: those between the identity and the first metric, with a value in some row."""
    columns = [str(column) for column in table.columns]
    first = min((columns.index(metric) for metric in study.config.metrics if metric in columns), default=0)
    start = columns.index("forget_image") + 1 if "forget_image" in columns else first
    return [column for column in columns[start:first] if table[column].notna().any()]


def _checkpoint(path: object) -> str | page.Link:
    return page.Link(path) if isinstance(path, str) and path else "–"


def _baselines(study: Study) -> list[str]:
    models = [model for model in MODELS if model in study.baseline.models]
    if not models:
        return [page.paragraph("Not measured yet.")]
    metrics = list(dict.fromkeys(metric for model in models for metric in study.baseline.models[model]))
    lines = [[study.label(metric), *(_measured(study, model, metric) for model in models)] for metric in metrics]
    return [page.table(["metric", *(_MODEL_TITLES[model] for model in models)], lines)]


def _measured(study: Study, model: str, metric: str) -> str:
    measured: Measured | None = study.baseline.models[model].get(metric)
    return "–" if measured is None else f"{with_error(measured.value, measured.stderr)} (n = {measured.num_samples})"


def _images(study: Study) -> str:
    """What the untouched and the retrained model make, then each member of the front, as far as it was drawn."""
    front = rows(study.front)
    names = [UNTOUCHED, RETRAINED, *(f"{row['trial_id']}-{row['step']}" for row in front)]
    found = [study.files.images / f"{name}-{kind}.png" for name in names for kind in _PICTURE_KINDS]
    own = study.files.root.resolve()  # a link out of a study from elsewhere would put another file on the page
    pictures = [path for path in found if path.is_file() and path.resolve().is_relative_to(own)]
    return page.section("Samples", *map(page.image, pictures)) if pictures else ""


def _hypervolume(study: Study) -> list[str]:
    table = hypervolume_by_trial(study)
    if table.empty:
        text = "Not known: it needs reports, and an ideal that is better than the untouched model in every objective."
        return [page.paragraph(text)]
    final = page.paragraph(f"{table['hypervolume'].iloc[-1]:.3f} in the end (untouched model 0, ideal 1).")
    return [final, _figure(hypervolume_figure(study))]


def _trials(study: Study) -> list[str]:
    if study.trials.empty:
        return [page.paragraph("No trial has started yet.")]
    counts = study.trials["state"].value_counts().sort_index()
    early = sum(str(trial["reason"]).startswith(STOPPED_EARLY) for trial in _in_state(study, "COMPLETE"))
    ended = f" {early} of those COMPLETE were stopped at a rung before the last." if early else ""
    out_of_time = sum(trial["reason"] == TIME_BUDGET for trial in _in_state(study, "COMPLETE"))
    ended += f" {out_of_time} ended before their last rung with the time budget." if out_of_time else ""
    summary = page.paragraph(", ".join(f"{count} {state}" for state, count in counts.items()) + "." + ended)
    failed = [[str(trial[name]) for name in ("trial_id", "method", "reason")] for trial in _in_state(study, "FAIL")]
    return [summary, page.table(["trial", "method", "reason"], failed) if failed else ""]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the report; 0 done, 2 the study cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Writes a study's report.html anew.")
    parser.add_argument("name", help="name of the study")
    parser.add_argument("--storage-path", default=StudyConfig.model_fields["storage_path"].default)
    arguments = parser.parse_args(argv)
    try:
        written = write_report(Path(arguments.storage_path) / arguments.name)
    except (StudyError, OSError) as error:
        Console(file=sys.stderr, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        return 2
    Console(soft_wrap=True).print(escape(str(written)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
