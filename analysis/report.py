"""``report.html``: everything there is to say about a study on one page that needs no network.

``python -m analysis.report NAME`` writes it anew, also while the study runs; of several names it writes a page that
compares them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from html import escape as html_escape
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from analysis import page
from analysis.appearance import member_key
from analysis.course import hypervolume_section, in_state, rungs_section, settings_section, trials_section
from analysis.explore import bounds_section, front_section, panel, side_by_side, trajectories_section
from analysis.load import Study, StudyError, load_study, whole_tables
from analysis.members import members_section
from analysis.no_front import why_no_front
from analysis.page_data import as_script, page_data
from analysis.progress import Quiet, Watch, each, watching
from analysis.provenance import provenance_section
from analysis.samples import embedded, gallery, pairs, without_picture
from analysis.scene import Scene, can_judge, compose
from analysis.table import with_error
from tuning.baseline import MODELS, RETRAINED, UNSEEN, UNTOUCHED, UNTOUCHED_SEARCH, Measured
from tuning.files import write_text_atomic
from tuning.schema import StudyConfig

#: Makes a section of the page; None where the study has nothing for it.
Maker = Callable[[], page.Section | None]
#: Of the work, for those who watch: reading, pictures, and each section.
NUM_PARTS: Final = 13

_MODEL_TITLES = {
    UNTOUCHED: "untouched",
    UNTOUCHED_SEARCH: "untouched, as trials measure",
    RETRAINED: "retrained",
    UNSEEN: "images not memorised",
}


def write_report(study_root: Path | str, watch: Watch | None = None) -> Path:
    """Writes ``report.html`` into a study's directory.

    Args:
        study_root: ``<storage-path>/<name>``.
        watch: is told how far it is; none: nobody.

    Returns:
        The page.

    Raises:
        StudyError: there is no study, or one of its files cannot be read.
        OSError: the page cannot be written.
    """
    watch = watch or Quiet()
    watch.total(NUM_PARTS)
    watch.stage("read the study")
    study = load_study(study_root)
    watch.advance(1)
    with whole_tables():
        text = report_html(study, watch)
    write_text_atomic(study.files.report, text)
    return study.files.report


def report_html(study: Study, watch: Watch) -> str:
    """The page of a study."""
    watch.stage("gather pictures")
    scene, of, shown = compose(study), pairs(study), gallery(study)
    pictures = embedded(study, shown)
    on_page = {name: pictures.pop(name) for name in shown if name in pictures}
    watch.advance(1)
    watch.stage("draw the page")
    explored, others = (
        [section for section in each(watch, makers) if section is not None] for makers in _makers(study, scene, on_page)
    )
    beside = panel(_first_point(study, scene), _missing(study, without_picture(study, of, {**on_page, **pictures})))
    top = [page.plotly_script(), _heading(study, scene), page.contents([*explored, *others])]
    parts = [*top, side_by_side(explored, beside), *(section.html for section in others)]
    data = as_script(page_data(study, scene, of, pictures), "study-data")
    scripts = map(page.script, ("study_front.js", "front_members.js", "search_marks.js", "report.js"))
    return page.page(f"Study {study.name}", parts, [data, *scripts])


def _makers(study: Study, scene: Scene, on_page: dict[str, str]) -> tuple[Sequence[Maker], Sequence[Maker]]:
    """What makes the sections that one looks around in, beside the panel, and the others: `NUM_PARTS` less two."""
    explored: list[Maker] = [
        lambda: front_section(study, scene), lambda: members_section(study, scene), lambda: bounds_section(study),
        lambda: trajectories_section(study),
    ]  # fmt: skip
    others: list[Maker] = [
        lambda: page.Section("Baselines", tuple(_baselines(study))),
        lambda: page.Section("Samples", (_samples(on_page),)) if on_page else None,
        lambda: hypervolume_section(study), lambda: rungs_section(study), lambda: settings_section(study),
        lambda: trials_section(study), lambda: provenance_section(study),
    ]  # fmt: skip
    return explored, others


def _first_point(study: Study, scene: Scene) -> str:
    """What is shown before anything is pointed at: the recommended member, of a study that has one."""
    if scene.choice.position is None or not study.is_finished:
        return ""
    best = scene.members.iloc[scene.choice.position]
    return member_key(best["trial_id"], int(best["step"]))


def _missing(study: Study, counts: tuple[int, int]) -> str:
    """How many reports have no picture here, and why."""
    no_room, no_file = counts
    parts = [f"{no_room} of {len(study.reports)} reports have their picture in images/ only, for want of room here."]
    parts = parts if no_room else []
    parts += [f"{no_file} of {len(study.reports)} reports have no picture in images/."] if no_file else []
    if not study.config.log_forget_images:
        parts.append("The untouched model is not shown: the study does not draw forget images (log_forget_images).")
    return " ".join(parts)


def _heading(study: Study, scene: Scene) -> str:
    state = (
        "finished" if study.is_finished else "still running or interrupted: what follows is what was reported so far"
    )
    if not study.is_finished and study.files.front_before.is_file():
        state += f"; the front before it was taken up again is in {study.files.front_before.name}"
    ended = len(study.trials) - len(in_state(study, "RUNNING"))
    parts = [f"<h1>{html_escape(study.name)}</h1>", page.paragraph(f"Study {state}.", "note")]
    goals = ", ".join(map(str, study.objectives))
    bounds = ", ".join(map(str, study.constraints)) or "no bound"
    progress = f"{ended} of {study.config.num_trials} trials ended, {len(study.reports)} reports."
    parts.append(page.paragraph(f"{progress} Searched to {goals} under {bounds}."))
    if scene.members.empty and not study.candidates.empty and can_judge(study):
        parts.append(page.paragraph(_no_front(study, scene), "warning"))
    parts.append(page.paragraph(scene.choice.rule))
    return f"<header>{''.join(parts)}</header>"


def _no_front(study: Study, scene: Scene) -> str:
    return why_no_front(study, study.constraints) or (
        f"{len(scene.feasible)} reports keep the bounds, but none of those that were re-measured does. "
        "Measure with more images, loosen the bound, or run more trials."
    )


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


def _samples(pictures: dict[str, str]) -> str:
    """What the untouched and the retrained model make, then each member of the front, as far as it was drawn."""
    return f'<div class="samples">{"".join(page.image(name, source) for name, source in pictures.items())}</div>'


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the report, or the comparison; 0 done, 2 a study cannot be read."""
    arguments = _parser().parse_args(argv)
    storage, errors = Path(arguments.storage_path), Console(file=sys.stderr, soft_wrap=True)
    roots = [storage / name for name in arguments.name]
    try:
        with watching(errors, arguments.quiet) as watch:
            written = write_report(roots[0], watch) if len(roots) == 1 else _compare(roots, watch)
    except (StudyError, OSError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        return 2
    Console(soft_wrap=True).print(escape(str(written)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Writes a study's report.html anew.")
    parser.add_argument("name", nargs="+", help="name of the study; of several, a page that compares them is written")
    storage = StudyConfig.model_fields["storage_path"].default
    parser.add_argument("--storage-path", default=storage, help=f"where studies are kept [default: {storage}]")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _compare(roots: Sequence[Path], watch: Watch) -> Path:
    from analysis.compare import write_comparison  # one study needs nothing of it

    return write_comparison(roots, watch=watch)


if __name__ == "__main__":
    raise SystemExit(main())
