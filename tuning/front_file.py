"""``front.csv`` through the launches of a study: it is there only while it is the front of all that was searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuning.files import StudyFiles, write_csv_atomic


def set_aside(files: StudyFiles) -> None:
    """A launch begins: what an earlier one left as the front is the front of less than will have been searched.

    Whoever reads the study meanwhile, or after this launch was killed, must not take it for finished. The file is kept
    as ``front_before.csv`` until there is a new one; a launch that finds no front leaves that as it is.
    """
    if files.front.is_file():
        files.front.replace(files.front_before)


def write_front(files: StudyFiles, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """The front of this launch, which takes the place of an earlier one's.

    Raises:
        ValueError: a row has a key that is no column.
        OSError: it cannot be written; an earlier front stays.
    """
    write_csv_atomic(files.front, columns, rows)
    files.front_before.unlink(missing_ok=True)
