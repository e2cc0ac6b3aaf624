"""The words by which a command is told which model of which study it is about."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.load import Study, load_study
from tuning.paths import expanded
from tuning.schema import StudyConfig, local_directory


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The words by which a command is told which model of which study it is about, and where things are."""
    storage = StudyConfig.model_fields["storage_path"].default
    parser.add_argument("--trial", metavar="ID", help="a trial, also without its leading zeros [default: recommended]")
    parser.add_argument("--step", type=int, help="which of its reports; needed where it has several")
    parser.add_argument("--storage-path", default=storage, help=f"where studies are kept [default: {storage}]")
    parser.add_argument(
        "--inputs", type=Path, metavar="DIR", help="where to look for models and images that are not where they were"
    )


def study_of(name: str, storage_path: str) -> Study:
    """The study of a name in a storage path; of a remote one its records on this machine.

    Raises:
        StudyError: as `load_study`.
    """
    return load_study(expanded(str(local_directory(storage_path))) / name)
