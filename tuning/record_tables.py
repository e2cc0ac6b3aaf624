"""The files behind a study's records: rows appended and synced, a torn last one left out, columns of their types."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tuning.files import csv_cell, csv_text, write_csv_atomic

logger = logging.getLogger(__name__)

#: Columns that are text whatever they look like.
TEXT: Final = ("trial_id", "method", "forget_image", "state", "reason", "mlflow_run_id")


class RecordsError(RuntimeError):
    """A file of records is not what this study writes."""


def read_table(path: Path) -> pd.DataFrame:
    """``reports.csv`` or ``trials.csv`` with ids as text; a last row torn by a crash is left out.

    Of several rows of a trial in ``trials.csv``, which a running study may have, the last one is taken.

    Raises:
        FileNotFoundError: there is no such file.
    """
    header, rows = _parse(path.read_text(encoding="utf-8", errors="replace"), path)
    frame = typed(header, rows)
    of_trials = {"trial_id", "state"} <= set(frame.columns)
    return frame.drop_duplicates("trial_id", keep="last", ignore_index=True) if of_trials else frame


def append_row(path: Path, columns: Sequence[str], row: Mapping[str, str]) -> None:
    """One row more, synced; on an error the file is as it was."""
    if not path.exists():
        write_csv_atomic(path, columns, [])
    size = path.stat().st_size
    try:
        with path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(csv_text(columns, [row], header=False))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        os.truncate(path, size)  # shrinking works on a full disk
        raise


def cells_of(columns: Iterable[str], values: Mapping[str, Any], *, blank: bool = True) -> dict[str, str]:
    return {name: csv_cell(values.get(name)) for name in columns if blank or name in values}


def typed(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """Rows of cells as typed columns: the same values whether they come from memory or from the file."""
    text = {name: str for name in TEXT if name in columns}
    frame = pd.read_csv(
        io.StringIO(csv_text(columns, rows, header=True)),
        dtype=text,
        keep_default_na=False,
        na_values={name: ["", "nan"] for name in columns if name not in text},
        float_precision="round_trip",
    )
    return frame.astype({name: bool for name in ("feasible", "candidate") if name in columns})


def read_own(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a file this study wrote earlier; a torn last row is cut off the file too."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    header, rows = _parse(text, path)
    if header and header != list(columns):
        raise RecordsError(
            f"{path} must have the columns {', '.join(columns)}, but has {', '.join(header)}; resume with the "
            "parameters and metrics that the study was started with, or give the new study another name"
        )
    whole = csv_text(columns, rows, header=True)
    if whole != text:
        write_csv_atomic(path, columns, rows)
    return rows


def _parse(text: str, path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows. The last row is dropped where its line end or a cell is missing: it was never acknowledged."""
    lines = list(csv.reader(io.StringIO(text, newline="")))
    if not lines or (len(lines) == 1 and not text.endswith("\n")):
        return [], []
    header, rows = lines[0], lines[1:]
    if rows and (not text.endswith("\n") or len(rows[-1]) != len(header)):
        logger.warning("%s: dropped the last row, which was torn when its writer stopped: %r", path, rows.pop())
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise RecordsError(
                f"every row of {path} must have {len(header)} cells, but row {number} has {len(row)}; "
                "repair that row, or remove it"
            )
    return header, [dict(zip(header, row, strict=True)) for row in rows]
