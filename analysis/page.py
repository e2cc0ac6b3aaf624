"""One self-contained HTML page out of headings, paragraphs, tables and pictures; whatever is text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-size: 14px; display: block; overflow-x: auto; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; }
th { background: #f6f6f6; } td:first-child, th:first-child { text-align: left; }
tr.marked { background: #fff6d8; } .note { color: #555; } .warning { background: #fdecea; padding: .8rem 1rem; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
figure { display: inline-block; margin: 0 1rem 1rem 0; } figure img { max-width: 100%; image-rendering: pixelated; }
"""


@dataclass(frozen=True)
class Link:
    """A table cell that links to a path relative to the page."""

    path: str


def page(title: str, sections: Sequence[str]) -> str:
    """The whole document."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(sections)
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A heading and what stands under it."""
    return f"<h2>{escape(heading)}</h2>\n" + "\n".join(part for part in parts if part)


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is ``note`` or ``warning``."""
    return f'<p class="{kind}">{escape(text)}</p>'


def preformatted(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"


def table(header: Sequence[str], rows: Sequence[Sequence[str | Link]], marked: int | None = None) -> str:
    """A table.

    Args:
        header: names of the columns.
        rows: cells.
        marked: row to highlight.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<td>{_cell(cell)}</td>" for cell in row)
        lines.append(f"<tr{' class=marked' if number == marked else ''}>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cell(cell: str | Link) -> str:
    if isinstance(cell, Link):
        return f'<a href="{quote(cell.path)}">{escape(cell.path)}</a>'
    return escape(cell)


def image(path: Path) -> str:
    """A PNG embedded as data, with its name under it."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = escape(path.stem.replace("_", " "))
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )
