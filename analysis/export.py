"""``python -m analysis.export``: one model of a study as a plain diffusers pipeline that needs nothing of this project.

Front members are pipelines already and are copied; any other candidate is made from its weights and the study's model.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from analysis.choice import add_choice, study_of
from analysis.inputs import with_inputs_here
from analysis.load import Study, StudyError
from analysis.member import Member, find_member
from analysis.model_card import FILE_NAME, model_card
from analysis.progress import Quiet, Watch, watching

if TYPE_CHECKING:
    from analysis.candidate_model import CandidateFiles


def export(study: Study, member: Member, target: Path, inputs: Path | None = None, watch: Watch | None = None) -> Path:
    """Write a model of a study and its card into a new directory, all of it or nothing.

    Where the study unlearned its forget images one at a time, there is a pipeline for each, in a folder named after it.

    Args:
        study: as `load_study` reads it.
        member: which of its models.
        target: a directory that is not there yet, or empty.
        inputs: where to look for the model that the study began with, where it is not where the study had it.
        watch: is told how far it is; none: nobody.

    Raises:
        StudyError: `target` has something in it; or the weights, or what is needed to make a pipeline, are not there.
        OSError: it cannot be written.
    """
    watch = watch or Quiet()
    watch.stage("load libraries")
    from analysis.candidate_model import CandidateFiles, open_source

    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise StudyError(f"DIR must be new or empty, but {target} has something in it; give another directory")
    files = CandidateFiles.of(study, open_source(study.config), member.trial_id, member.step)
    watch.total(len(files.pipelines))
    with _becoming(target) as folder:
        places = [folder / path.relative_to(study.files.checkpoint(member.trial_id, member.step))
                  for path in files.pipelines]  # fmt: skip
        if not _copied(files, places, watch):
            _made(study, files, places, inputs, watch)
        if not (folder / FILE_NAME).is_file():  # the study's own was written where its images were
            (folder / FILE_NAME).write_text(model_card(study, member.trial_id, member.step), encoding="utf-8")
    return target


def _copied(files: CandidateFiles, places: Sequence[Path], watch: Watch) -> bool:
    """Whether all of them were pipelines already, and are now in `places`."""
    watch.stage("copy the pipeline, where there is one")
    for index, place in enumerate(places):
        with files.pipeline_at_hand(index) as pipeline:
            if pipeline is None:
                return False
            shutil.copytree(pipeline, place, dirs_exist_ok=True)
        watch.advance(1)
    return True


def _made(study: Study, files: CandidateFiles, places: Sequence[Path], inputs: Path | None, watch: Watch) -> None:
    """Pipelines around the weights behind a report, as the study writes those of its front."""
    from analysis.candidate_model import open_source, put_weights

    watch.stage("make the pipeline")
    config = with_inputs_here(study.config, ("model",), inputs)
    source = open_source(config)
    try:
        workload = source.open()
        network = workload.load(config.model).network
    except (ValueError, OSError) as error:
        raise StudyError(f"the study's model must load, but does not: {error}") from error
    for index, place in enumerate(places):
        with files.weights_at_hand(index) as weights:
            put_weights(network, weights)
        workload.save_pipeline(network, place)
        watch.advance(1)


@contextmanager
def _becoming(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place at the end, and is gone if there was an error."""
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        yield folder
        os.replace(folder, target)  # which an empty directory does not keep from it


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the pipeline; 0 done, 2 the study, the model or the directory is not what it must be."""
    arguments = _parser().parse_args(argv)
    errors = Console(file=sys.stderr, soft_wrap=True)
    try:
        study = study_of(arguments.name, arguments.storage_path)
        member = find_member(study, arguments.trial, arguments.step)
        with watching(errors, arguments.quiet) as watch:
            written = export(study, member, arguments.directory, arguments.inputs, watch)
    except (StudyError, OSError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        return 2
    console = Console(soft_wrap=True, highlight=False)
    console.print(escape(f"trial {member.trial_id} at step {member.step} ({member.row['method']}): {written}"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.export", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("name", help="name of the study")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where to write it; new or empty")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_choice(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
