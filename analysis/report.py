"""``report.html``: everything there is to say about a study on one page that needs no network.

``python -m analysis.report NAME`` writes it anew, also while the study runs; of several names it writes a page that
compares them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from html import escape as html_escape
from pathlib import Path

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
from analysis.provenance import provenance_section
from analysis.samples import embedded, gallery, pairs, without_picture
from analysis.scene import Scene, can_judge, compose
from analysis.table import with_error
from tuning.baseline import MODELS, RETRAINED, UNSEEN, UNTOUCHED, UNTOUCHED_SEARCH, Measured
from tuning.files import write_text_atomic
from tuning.schema import StudyConfig

_MODEL_TITLES = {
    UNTOUCHED: "untouched",
    UNTOUCHED_SEARCH: "untouched, as trials measure",
    RETRAINED: "retrained",
    UNSEEN: "images not memorised",
}


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
    with whole_tables():
        text = report_html(study)
    write_text_atomic(study.files.report, text)
    return study.files.report


def report_html(study: Study) -> str:
    """The page of a study."""
    scene, of, shown = compose(study), pairs(study), gallery(study)
    pictures = embedded(study, shown)
    on_page = {name: pictures.pop(name) for name in shown if name in pictures}
    explored = [
        front_section(study, scene), members_section(study, scene), bounds_section(study), trajectories_section(study)
    ]  # fmt: skip
    others = [
        page.Section("Baselines", tuple(_baselines(study))),
        page.Section("Samples", (_samples(on_page),)) if on_page else None,
        hypervolume_section(study), rungs_section(study), settings_section(study), trials_section(study),
        provenance_section(study),
    ]  # fmt: skip
    left, rest = ([section for section in some if section is not None] for some in (explored, others))
    beside = panel(_first_point(study, scene), _missing(study, without_picture(study, of, {**on_page, **pictures})))
    parts = [page.plotly_script(), _heading(study, scene), page.contents([*left, *rest]), side_by_side(left, beside)]
    parts += [section.html for section in rest]
    data = as_script(page_data(study, of, pictures), "study-data")
    return page.page(f"Study {study.name}", parts, [data, page.script("study_front.js"), page.script("report.js")])


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
    parts += [f"{no_file} of {len(study.reports)} reports have no picture."] if no_file else []
    if not study.config.log_forget_images:
        parts.append("The untouched model is not shown: the study does not draw forget images (log_forget_images).")
    return " ".join(parts)


def _heading(study: Study, scene: Scene) -> str:
    state = (
        "finished" if study.is_finished else "still running or interrupted: what follows is what was reported so far"
    )
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
    storage = Path(arguments.storage_path)
    roots = [storage / name for name in arguments.name]
    try:
        written = write_report(roots[0]) if len(roots) == 1 else _compare(roots)
    except (StudyError, OSError) as error:
        Console(file=sys.stderr, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        return 2
    Console(soft_wrap=True).print(escape(str(written)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Writes a study's report.html anew.")
    parser.add_argument("name", nargs="+", help="name of the study; of several, a page that compares them is written")
    storage = StudyConfig.model_fields["storage_path"].default
    parser.add_argument("--storage-path", default=storage, help=f"where studies are kept [default: {storage}]")
    return parser


def _compare(roots: Sequence[Path]) -> Path:
    from analysis.compare import write_comparison  # one study needs nothing of it

    return write_comparison(roots)


if __name__ == "__main__":
    raise SystemExit(main())
