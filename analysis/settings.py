"""The hyper-parameters in a study's tables: which columns they are, and on what scale they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analysis.load import Study
from analysis.table import numeric
from search_spaces.space import RATIO_SUFFIX

#: Largest over smallest value from which on a logarithm is looked at.
WIDE: Final = 20.0


def parameter_columns(study: Study, table: pd.DataFrame) -> list[str]:
    """The columns of hyper-parameters: those between the identity and the first metric, with a value in some row."""
    columns = [str(column) for column in table.columns]
    first = min((columns.index(metric) for metric in study.config.metrics if metric in columns), default=0)
    start = columns.index("forget_image") + 1 if "forget_image" in columns else first
    return [column for column in columns[start:first] if table[column].notna().any()]


def sampled_columns(study: Study, table: pd.DataFrame) -> list[str]:
    """Of the hyper-parameters those that a search samples: of a scaled one the ratio, of which it is a multiple."""
    columns = parameter_columns(study, table)
    return [column for column in columns if column + RATIO_SUFFIX not in columns]


def shown_metrics(study: Study, table: pd.DataFrame) -> list[str]:
    """Objectives, then bounded metrics, each once, as far as the table has them."""
    names = [*(goal.metric for goal in study.objectives), *(bound.metric for bound in study.constraints)]
    return [name for name in dict.fromkeys(names) if name in table]


def is_wide(values: ArrayLike) -> bool:
    """Whether finite values are all positive and span more than a factor of ``WIDE``; False where there is none."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    return bool(len(known) and known.min() > 0 and known.max() > WIDE * known.min())


def of_method(reports: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of one method; of a table without the column, which nothing was reported to, all (none)."""
    return reports[reports["method"] == method] if "method" in reports else reports


def methods_in(study: Study, reports: pd.DataFrame) -> list[str]:
    """The methods that have rows, in the study's order."""
    present = set(reports["method"]) if "method" in reports else set()
    return [method for method in study.config.methods if method in present]


def varying(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The columns with more than one finite value."""
    values = numeric(table, columns)
    counts = [len(np.unique(column[np.isfinite(column)])) for column in values.T]
    return [name for name, count in zip(columns, counts, strict=True) if count > 1]
