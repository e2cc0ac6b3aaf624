"""The part of the page that tells how a study went: its hypervolume, rungs, settings, trials, and where time went."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import page
from analysis.compute import compute_figure, time_table
from analysis.importance import ALL_METHODS, MIN_REPORTS, importance_figure
from analysis.load import Study
from analysis.parallel import parallel_figure
from analysis.plots import hypervolume_figure
from analysis.rungs import rung_table, stopping_figure
from analysis.table import rows, with_error
from analysis.trial_profile import profile_figure, profile_table
from trainable.profile import PARTS
from tuning.outcome import TIME_BUDGET
from tuning.records import STOPPED_EARLY


def hypervolume_section(study: Study) -> page.Section:
    """Over trials and over compute."""
    by_trial = hypervolume_figure(study)
    values = by_trial.data[0].y
    heading = "Hypervolume"
    if len(values) == 0:
        text = "Not known: it needs reports, and an ideal that is better than the untouched model in every objective."
        return page.Section(heading, (page.paragraph(text),))
    final = f"{values[-1]:.3f} in the end, by the values of the search (untouched model 0, ideal 1)."
    by_compute, beside = compute_figure(study), page.paragraph("What reports cost is not recorded.", "note")
    if len(by_compute.data[0].y):
        beside = page.figure(by_compute, "compute-figure", "Hypervolume over the workers' time.")
    drawn = page.figure(by_trial, "hypervolume-figure", "Hypervolume after each trial.")
    both = f'<div class="two"><div>{drawn}</div><div>{beside}</div></div>'
    return page.Section(heading, (page.paragraph(final), both))


def rungs_section(study: Study) -> page.Section | None:
    """What reports at each rung came to; None where nothing was reported."""
    table = rung_table(study)
    if table.empty:
        return None
    metrics = [str(name) for name in table.columns[6:]]
    header = ["rung", "step", "reports", "feasible", "stopped there", "failed after it"]
    header += [f"{study.label(metric)}, median" for metric in metrics]
    lines = [
        [str(int(row[name])) for name in table.columns[:6]] + [with_error(row[metric]) for metric in metrics]
        for row in rows(table)
    ]
    figure = page.figure(stopping_figure(study), "stopping-figure", "Medians and share of feasible reports by step.")
    return page.Section("Rungs", (page.table(header, lines), figure))


def settings_section(study: Study) -> page.Section | None:
    """Settings against metrics, and which of them matter; None where nothing was reported."""
    if study.reports.empty:
        return None
    several = f" Under {ALL_METHODS} the method itself counts, and the step." if len(study.config.methods) > 1 else ""
    matters = (
        "Share of a metric's variance between reports that a setting explains (functional ANOVA of a random forest, by "
        f"Optuna).{several} – : under {MIN_REPORTS} reports, nothing to explain, or the setting did not vary. It says "
        "nothing of which value is good."
    )
    lines = "Drag along an axis to keep the lines that cross it there."
    return page.Section(
        "Settings",
        (
            page.paragraph(lines, "note"),
            page.figure(parallel_figure(study), "parallel-figure", "Parallel coordinates of settings and metrics."),
            page.subheading("What matters"),
            page.paragraph(matters, "note"),
            page.figure(importance_figure(study), "importance-figure", "Importance of each setting for each metric."),
        ),
    )


def trials_section(study: Study) -> page.Section:
    """How trials ended, why some failed, and where the time of all went."""
    if study.trials.empty:
        return page.Section("Trials and failures", (page.paragraph("No trial has started yet."),))
    counts = study.trials["state"].value_counts().sort_index()
    early = sum(str(trial["reason"]).startswith(STOPPED_EARLY) for trial in in_state(study, "COMPLETE"))
    ended = f" {early} of those COMPLETE were stopped at a rung before the last." if early else ""
    out_of_time = sum(trial["reason"] == TIME_BUDGET for trial in in_state(study, "COMPLETE"))
    ended += f" {out_of_time} ended before their last rung with the time budget." if out_of_time else ""
    summary = page.paragraph(", ".join(f"{count} {state}" for state, count in counts.items()) + "." + ended)
    failed = [[str(trial[name]) for name in ("trial_id", "method", "reason")] for trial in in_state(study, "FAIL")]
    table = page.table(["trial", "method", "reason"], failed) if failed else ""
    return page.Section("Trials and failures", (summary, table, *_time(time_table(study)), *_profile(study)))


def _time(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return [page.paragraph("Where the time went is not recorded.", "note")]
    lines = [[row["part"], f"{row['seconds']:.0f} s", f"{row['share']:.0%}"] for row in rows(table)]
    note = (
        "Of all slots together. Other: loading, saving and what was cut off, inside of trials; idle: without a trial."
    )
    return [
        page.subheading("Where the time went"),
        page.table(["", "time", "share"], lines),
        page.paragraph(note, "note"),
    ]


def _profile(study: Study) -> list[str]:
    """Shares of all trials together and a bar for each; nothing where the study did not say."""
    table = profile_table(study)
    if table.empty:
        return []
    total = table[list(PARTS)].sum()
    lines = [[part, f"{total[part]:.0f} s", f"{total[part] / total.sum():.0%}"] for part in PARTS if total[part] > 0]
    return [
        page.subheading("Where the time of trials went"),
        page.table(["", "time", "share"], lines),
        page.figure(profile_figure(study), "profile-figure", "Seconds of each trial by part."),
    ]


def in_state(study: Study, state: str) -> list[dict[str, Any]]:
    """The trials in a state."""
    return [trial for trial in rows(study.trials) if trial["state"] == state] if "state" in study.trials else []
