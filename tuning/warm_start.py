"""``warm_start.json``: what a study took of others when it began, so that a resumed one knows the same.

The other studies may have grown or gone by then, so that they are read once, and the search reads this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from analysis.load import StudyError, load_study
from tuning.files import StudyFiles, write_text_atomic
from tuning.transfer import KnownTrial, Target, Transfer, transfer

if TYPE_CHECKING:
    from tuning.schema import StudyConfig


class View(Protocol):
    """What is told of a study."""

    def message(self, text: str) -> None: ...


def taken_by(config: StudyConfig) -> tuple[Transfer, ...]:
    """What the study took when it began or, where it has not begun, would take; in the order of ``warm_start``.

    Raises:
        StudyError: a study, or the file, cannot be read.
    """
    if not config.warm_start:
        return ()
    files = StudyFiles(config.root)
    if files.warm_start.is_file():
        return load(files)
    target = Target(config.methods, config.objectives, config.constraints, config.fix)
    return tuple(transfer(load_study(root), target) for root in config.warm_start)


def begin(config: StudyConfig, files: StudyFiles, view: View) -> None:
    """Write the file where the study takes anything and has not begun yet, and say what it takes.

    Raises:
        StudyError: as `taken_by`.
    """
    transfers = taken_by(config)
    if transfers and not files.warm_start.is_file():
        save(files, transfers)
    for entry in transfers:
        view.message(str(entry))


def save(files: StudyFiles, transfers: tuple[Transfer, ...]) -> None:
    """Write the file."""
    data = {"studies": [asdict(entry) for entry in transfers]}
    write_text_atomic(files.warm_start, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def load(files: StudyFiles) -> tuple[Transfer, ...]:
    """Read the file.

    Raises:
        StudyError: it is not what `save` wrote.
    """
    try:
        data = json.loads(files.warm_start.read_text(encoding="utf-8"))
        return tuple(_transfer(entry) for entry in data["studies"])
    except (ValueError, TypeError, KeyError) as error:
        raise StudyError(f"{files.warm_start} must be what the study wrote when it began, but: {error!r}") from None


def _transfer(entry: Mapping[str, Any]) -> Transfer:
    trials = tuple(KnownTrial(**trial) for trial in entry["trials"])
    return Transfer(entry["study"], trials, dict(entry["left_out"]), tuple(entry["front"]))
