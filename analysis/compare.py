"""Several studies beside each other: tables and figures for a notebook, and one page that needs no network.

``python -m analysis.report NAME NAME …`` writes the page; `write_comparison` does so from Python.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Final

import pandas as pd

from analysis import page
from analysis.attainment import attainment_figure, groups_of
from analysis.attainment_words import in_words
from analysis.comparable import IDEAL_BY, Scale, labelled, scale_of, settings_table
from analysis.compare_figures import fronts_figure, hypervolumes_by_compute_figure, hypervolumes_figure
from analysis.compare_tables import method_table, study_table
from analysis.load import Study, StudyError, load_study, whole_tables
from analysis.progress import Quiet, Watch, each
from analysis.table import rows, with_error
from tuning.files import write_text_atomic
from tuning.study_status import FINISHED

__all__ = [
    "comparison_path",
    "fronts_figure",
    "hypervolumes_by_compute_figure",
    "hypervolumes_figure",
    "method_table",
    "settings_table",
    "study_table",
    "write_comparison",
]

#: Bytes of a file name, less what stands before and after the names.
_LONGEST: Final = 150
#: Of the page, for those who watch.
NUM_SECTIONS: Final = 6
_RE_MEASURED = "Fronts of finished studies are re-measured with seeds that no trial saw, those of others as searched."


def comparison_path(storage_path: Path | str, names: Sequence[str]) -> Path:
    """Where a comparison is written: ``<storage-path>/comparison-<name>+<name>….html``.

    Letters of any script, digits, ``.``, ``_`` and ``-`` stay; what else there is becomes ``_``, and what is too long
    is cut. Either adds a digest of the names, so that other studies have another page.
    """
    joined = "+".join(names)
    safe = re.sub(r"[^\w.+-]", "_", joined)
    short = safe.encode()[:_LONGEST].decode(errors="ignore")
    digest = "" if short == joined else f"-{hashlib.sha256(joined.encode(errors='replace')).hexdigest()[:8]}"
    return Path(storage_path) / f"comparison-{short}{digest}.html"


def write_comparison(
    study_roots: Sequence[Path | str], path: Path | str | None = None, watch: Watch | None = None
) -> Path:
    """Writes one page about several studies.

    Args:
        study_roots: ``<storage-path>/<name>`` of each, at least two.
        path: the page; none: `comparison_path` beside the first study.
        watch: is told how far it is; none: nobody.

    Returns:
        The page.

    Raises:
        StudyError: fewer than two studies, one of them twice or unreadable, or studies with other objectives.
        OSError: the page cannot be written.
    """
    if len(study_roots) < 2:
        raise StudyError(
            f"a comparison must have at least two studies, but got {len(study_roots)}; name another one, or write the "
            "report of one with python -m analysis.report NAME"
        )
    watch = watch or Quiet()
    watch.total(len(study_roots) + NUM_SECTIONS)
    watch.stage("read the studies")
    studies = each(watch, [partial(load_study, root) for root in study_roots])
    beside = studies[0].files.root.parent
    target = comparison_path(beside, [study.name for study in studies]) if path is None else Path(path)
    with whole_tables("put the files of each study back together"):
        text = _page(studies, target, watch)
    write_text_atomic(target, text)
    return target


def _page(studies: Sequence[Study], target: Path, watch: Watch) -> str:
    watch.stage("draw the page")
    scale, overview = scale_of(studies), study_table(studies)
    title = f"Comparison of {', '.join(overview['study'])}"
    remarks = [page.paragraph(text, kind) for text, kind in _remarks(studies, scale, overview)]
    parts_of: dict[str, Callable[[], list[str]]] = {
        "Studies": lambda: _studies(overview, studies, target),
        "Fronts": lambda: _fronts(studies),
        "Hypervolume by trial and by time": lambda: _growth(studies),
        "Methods": lambda: _methods(studies),
        "Attainment over seeds": lambda: _attainment(studies),
        "Settings that differ": lambda: _settings(studies),
    }
    made = zip(parts_of, each(watch, parts_of.values()), strict=True)
    sections = [page.Section(heading, tuple(parts)) for heading, parts in made]
    heading = f"<header><h1>{escape(title)}</h1>{''.join(remarks)}</header>"
    parts = [page.plotly_script(), heading, page.contents(sections), *(section.html for section in sections)]
    return page.page(title, parts)


def _fronts(studies: Sequence[Study]) -> list[str]:
    drawn = page.figure(fronts_figure(studies), "fronts-figure", "Fronts of all studies on the same axes")
    return [drawn, page.paragraph(_RE_MEASURED, "note")]


def _remarks(studies: Sequence[Study], scale: Scale, overview: pd.DataFrame) -> list[tuple[str, str]]:
    """What a reader must know before the numbers, each a text and the kind of its paragraph."""
    remarks = []
    if scale.in_gains:
        text = (
            f"The values of these studies do not compare, since they differ in: {', '.join(scale.because)}. Drawn are "
            "gains, 0 at each study's own untouched model and 1 at its ideal."
        )
        remarks.append((text, "warning"))
    known = labelled(studies)
    if nameless := [label for label, study in known.items() if study.ideal is None]:
        text = "No ideal that is better than the untouched model is known"
        missing = (
            "neither hypervolume nor gains can be told, and no front drawn" if scale.in_gains else "no hypervolume"
        )
        remarks.append((f"{text} of {', '.join(nameless)}: {missing}.", "warning"))
    if unfinished := [f"{row['study']} ({row['state']})" for row in rows(overview) if row["state"] != FINISHED]:
        text = f"Not finished: {', '.join(unfinished)}. Of these stands here what was reported so far."
        remarks.append((text, "warning"))
    if overview["bounds"].nunique() > 1:
        remarks.append(("Bounds differ: each front keeps those of its own study.", "note"))
    if not scale.in_gains and any(_differs(studies, name) for name in IDEAL_BY):
        text = "Ideals come from other files or settings: hypervolumes are shares of different boxes, values compare."
        remarks.append((text, "note"))
    return remarks


def _differs(studies: Sequence[Study], field: str) -> bool:
    return any(getattr(study.config, field) != getattr(studies[0].config, field) for study in studies)


def _studies(overview: pd.DataFrame, studies: Sequence[Study], target: Path) -> list[str]:
    objectives = [objective.metric for objective in studies[0].objectives]
    varied = [name for name in ("bounds", "methods") if overview[name].nunique() > 1]
    header = ["study", "state", "seed", "trials", "failed", "members", "hypervolume", "in the search"]
    header += ["workers' hours", "recommended", *objectives, *varied, "report"]
    lines: list[list[str | page.Link]] = []
    for row, study in zip(rows(overview), studies, strict=True):
        cells: list[str | page.Link] = [row["study"], row["state"], str(row["seed"])]
        cells += [f"{row['trials']} of {row['planned']}", str(row["failed"]), str(row["members"])]
        cells += [_volume(row["hypervolume"]) if row["remeasured"] else "–", _volume(row["search_hypervolume"])]
        cells += [_hours(row["worker_seconds"]), row["recommended"] or "–"]
        cells += [*(with_error(row[metric]) for metric in objectives), *(row[name] for name in varied)]
        lines.append([*cells, _report(study, target)])
    common = [f"Searched to {overview['objectives'].iloc[0]}"]
    common += [f"{name}: {overview[name].iloc[0]}" for name in ("bounds", "methods") if name not in varied]
    note = (
        "Hypervolume (untouched model 0, ideal 1) of the re-measured front; in the search: of all reports, by the "
        "values that members were chosen by, which look better than they are."
    )
    return [page.paragraph(f"{'; '.join(common)}."), page.table(header, lines), page.paragraph(note, "note")]


def _report(study: Study, target: Path) -> str | page.Link:
    """A link to the study's own page where that lies below the directory of this one."""
    try:
        place = study.files.report.relative_to(target.absolute().parent)
    except ValueError:
        return "–"
    return page.Link(place.as_posix()) if study.files.report.is_file() else "–"


def _volume(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _hours(seconds: float) -> str:
    return "–" if pd.isna(seconds) else f"{seconds / 3600:.2f}"


def _growth(studies: Sequence[Study]) -> list[str]:
    if all(study.ideal is None for study in studies):
        return [
            page.paragraph("Not known: it needs an ideal that is better than the untouched model in every objective.")
        ]
    note = "Of all reports that keep the bounds, by the values of the search; means where settings were repeated."
    by_trial, by_time = hypervolumes_figure(studies), hypervolumes_by_compute_figure(studies)
    figures = [
        page.figure(by_trial, "by-trial-figure", "Hypervolume of each study over its trials"),
        page.figure(by_time, "by-time-figure", "Hypervolume of each study over the hours of its workers"),
    ]
    return [*figures, page.paragraph(note, "note")]


def _methods(studies: Sequence[Study]) -> list[str]:
    table = method_table(studies)
    objectives = [objective.metric for objective in studies[0].objectives]
    header = ["method", "study", "trials", "failed", "reports", "feasible", "members", "hypervolume"]
    header += [*(f"best {metric}" for metric in objectives), "hours"]
    lines = [_method_cells(row, objectives) for row in rows(table)]
    note = (
        "Hypervolume and best values are those of the method's own feasible reports, as the search measured them; "
        "hours are those of workers inside its trials."
    )
    return [page.table(header, lines), page.paragraph(note, "note")]


def _method_cells(row: dict[str, Any], objectives: Sequence[str]) -> list[str]:
    counts = [str(row[name]) for name in ("trials", "failed", "reports", "feasible", "members")]
    values = [with_error(row[metric]) for metric in objectives]
    return [row["method"], row["study"], *counts, _volume(row["hypervolume"]), *values, _hours(row["worker_seconds"])]


def _attainment(studies: Sequence[Study]) -> list[str]:
    groups = groups_of(studies)
    if not any(len(group.studies) > 1 for group in groups):
        text = (
            "No two finished studies differ in their seed alone, so that nothing says how much of a difference is "
            "luck. Run each again with another --seed to know."
        )
        return [page.paragraph(text)]
    note = (
        "Solid: what half of a group's studies reach. Dotted: what a quarter and three quarters of them reach. A group "
        "is made of finished studies that differ in their seed alone."
    )
    words = [page.paragraph(text) for text in in_words(studies)]
    says = "Median and quartile attainment surfaces of each group of studies"
    return [*words, page.figure(attainment_figure(studies), "attainment-figure", says), page.paragraph(note, "note")]


def _settings(studies: Sequence[Study]) -> list[str]:
    table = settings_table(studies)
    if table.empty:
        return [page.paragraph("None.")]
    lines: list[list[str]] = [
        [str(field), *row] for field, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    return [page.table(["setting", *map(str, table.columns)], lines)]
