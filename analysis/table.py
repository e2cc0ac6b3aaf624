"""Typed access to the tables of reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def numeric(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """(n, m) values of `columns`, NaN for what is blank or no number.

    Raises:
        KeyError: a column is missing.
    """
    if missing := [column for column in columns if column not in table]:
        raise KeyError(f"the table must have the columns {', '.join(columns)}, but lacks {', '.join(missing)}")
    data = [pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64) for column in columns]
    return np.column_stack(data) if data else np.empty((len(table), 0))


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Each row as a mapping of column to value."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def with_error(value: object, error: object = None) -> str:
    """A value, with its standard error where there is one; a dash where it was not measured."""
    if not _is_number(value):
        return "–"
    return f"{value:.4g} ± {error:.2g}" if _is_number(error) else f"{value:.4g}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not pd.isna(value)
