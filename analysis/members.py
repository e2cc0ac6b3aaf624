"""The front's members as a table: settings, values with errors, what they were in the search, and their models."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import page
from analysis.appearance import mean_key, member_key, point_key
from analysis.configurations import NUM_REPEATS, SPREAD
from analysis.front import over_forgotten
from analysis.load import Study
from analysis.scene import Scene
from analysis.settings import parameter_columns, shown_metrics
from analysis.table import rows, with_error
from tuning.constraints import RATIO, RATIO_STDERR

_REPEATED = (
    "Values are means over the runs of a setting, their spread is the standard deviation from run to run. The model is "
    "that of the run named, the best of them by itself."
)
_LEGEND = "★ recommended. Over-forgotten: beyond the ideal by two standard errors, which can be detected."


def members_section(study: Study, scene: Scene) -> page.Section:
    """The members, each of which can be chosen to be shown beside."""
    return page.Section("Members of the front", tuple(_members(study, scene)))


def _members(study: Study, scene: Scene) -> list[str]:
    members = scene.members
    if members.empty:
        return [page.paragraph("There is none yet." if not study.is_finished else "There is none.")]
    repeated = NUM_REPEATS in members
    columns = _columns(study, members)
    header = ["", "trial", "method", "step", *(["runs"] if repeated else []), *(title for title, _, _ in columns)]
    beyond = [False] * len(members)
    if study.ideal is not None:
        beyond = list(
            over_forgotten(
                members, study.objectives, study.member_reference, study.ideal, ideal_stderr=study.baseline.ideal_stderr
            )
        )
    lines: list[list[str | page.Link]] = []
    for position, row in enumerate(rows(members)):
        star = "★" if position == scene.choice.position else ""
        lines.append(
            [
                star + (" over-forgotten" if beyond[position] else ""),
                *(str(row[name]) for name in ("trial_id", "method", "step", *([NUM_REPEATS] if repeated else []))),
                *(with_error(row.get(value), row.get(error)) for _, value, error in columns),
                "yes" if row.get("feasible", True) else "no",
                _checkpoint(study, row.get("checkpoint")),
            ]
        )
    key = member_key if study.is_finished else mean_key if repeated else point_key
    points = [key(row["trial_id"], int(row["step"])) for row in rows(members)]
    measured = "Values are re-measured with seeds that no trial saw." if study.is_finished else "Not re-measured yet."
    note = f"{measured} {_LEGEND} {_REPEATED}" if repeated else f"{measured} {_LEGEND}"
    table = page.table([*header, "feasible", "model"], lines, scene.choice.position, points)
    return [table, page.paragraph(note, "note")]


def _columns(study: Study, members: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(title, column of the value, column of its error) of each cell that has a number."""
    metrics = shown_metrics(study, members)
    others = [metric for metric in study.config.report_metrics if metric in members and metric not in metrics]
    spreads = [metric for metric in metrics if NUM_REPEATS in members and metric + SPREAD in members]
    ratios = [bound.metric for bound in study.constraints if bound.relative and bound.metric + RATIO in members]
    searched = [metric for metric in metrics if f"{metric}_search" in members]
    found = [(name, name, "") for name in parameter_columns(study, members)]
    found += [(study.label(metric), metric, f"{metric}_stderr") for metric in metrics]
    found += [(f"{study.label(metric)}, spread of the runs", metric + SPREAD, "") for metric in spreads]
    found += [(f"{study.label(metric)}, times the untouched model's", metric + RATIO, metric + RATIO_STDERR)
              for metric in ratios]  # fmt: skip
    found += [(f"{study.label(metric)}, in the search", f"{metric}_search", "") for metric in searched]
    return found + [(study.label(metric), metric, f"{metric}_stderr") for metric in others]


def _checkpoint(study: Study, path: Any) -> str | page.Link:
    """A link where the model is on this machine: a study may have been moved, or have its models in a store."""
    if not isinstance(path, str) or not path:
        return "–"
    return page.Link(path) if (study.files.root / path).is_dir() else f"{path}, not on this machine"
