"""Front members as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from analysis.configurations import NUM_REPEATS, STDERR
from analysis.table import with_error


def front_table(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], *, marked: int | None = None) -> Table:
    """Front members: trial, method, step, and each metric with its standard error; row `marked` stands out.

    Where settings were repeated, also how many runs a row is the mean of.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    repeated = bool(rows) and NUM_REPEATS in rows[0]
    for name in ("", "trial", "method", "step", *(["runs"] if repeated else [])):
        table.add_column(name, no_wrap=True)
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for index, row in enumerate(rows):
        identity = ["→" if index == marked else "", str(row["trial_id"]), str(row["method"]), str(int(row["step"]))]
        identity += [str(row[NUM_REPEATS])] if repeated else []
        cells = [with_error(row.get(metric), row.get(metric + STDERR)) for metric in metrics]
        table.add_row(*map(Text, (*identity, *cells)), style="bold" if index == marked else None)
    return table


def measured(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The metrics of reports, in their order: what comes with a standard error."""
    return [name.removesuffix(STDERR) for name in (rows[0] if rows else {}) if name.endswith(STDERR)]
