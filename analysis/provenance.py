"""By which configuration, code and libraries a study came about, and what to type to have it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis import page
from analysis.load import Study
from tuning.events import read_events
from tuning.launches import Launch, launches
from tuning.studyfile import to_yaml


def reproduce_command(study: Study, script: str = "tune_unlearning.py") -> str:
    """What to type, in the project's directory, to run the study again under another name.

    The study's file is named by where it is now, relative to the working directory where it lies below it; the new
    study goes beside the old one.
    """
    file = _here(study.files.study)
    words = ["--study", str(file), "--name", f"{study.name}-again", "--storage-path", str(file.parent.parent)]
    return shlex.join(["python", script, *words])


def _here(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def provenance_section(study: Study) -> page.Section:
    """Configuration, versions and command."""
    known = launches(read_events(study.files.events))
    return page.Section(
        "Configuration and versions",
        (
            page.paragraph("To run the same study again, from the project's directory:"),
            page.preformatted(reproduce_command(study)),
            page.paragraph(
                "With one worker (--max-concurrent-trials 1) the same seed gives the same reports.csv and front.csv. "
                "Paths in the study's file are those of the machine that it ran on.", "note",
            ),
            *_versions(known),
            page.subheading("study.yaml"),
            page.preformatted(to_yaml(study.config)),
        ),
    )  # fmt: skip


def _versions(known: list[Launch]) -> list[str]:
    """One column a launch, where they differ; the last launch alone, where all are alike."""
    found = [of for of in (_of_launch(launch) for launch in known) if of]
    if not found:
        return [page.paragraph("Which versions it ran by is not recorded: events.jsonl tells of no launch.", "note")]
    different = [of for place, of in enumerate(found) if place == 0 or of != found[place - 1]]
    names = list(dict.fromkeys(name for of in different for name in of))
    header = ["", *(["version"] if len(different) == 1 else [f"launch {n}" for n in range(1, len(different) + 1)])]
    lines = [[name, *(str(of.get(name, "–")) for of in different)] for name in names]
    started = f"{len(known)} launches, the first" if len(known) > 1 else "Launched"
    when = page.paragraph(f"{started} at {known[0].began:%Y-%m-%d %H:%M} UTC.", "note")
    return [page.subheading("Versions"), page.table(header, lines), when]


def _of_launch(launch: Launch) -> Mapping[str, Any]:
    versions = launch.facts.get("versions")
    return versions if isinstance(versions, Mapping) else {}
