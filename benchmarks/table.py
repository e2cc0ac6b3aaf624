"""What every benchmark answers with, and the one place that prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """A table of figures.

    Attributes:
        title: what was compared, and on what.
        columns: the first is left-aligned, the others are figures.
        rows: cells as text, one a column.
        note: how to read it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def show(result: Result, console: Console) -> None:
    """Print one result."""
    table = Table(title=result.title, caption=result.note or None, title_justify="left", caption_justify="left")
    for position, column in enumerate(result.columns):
        table.add_column(column, justify="right" if position else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*row)
    console.print(table)
    console.print()
