"""One self-contained HTML page out of headings, tables, figures and pictures; whatever is text is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

_HERE = Path(__file__).resolve().parent
#: How every page looks.
STYLE_FILE = _HERE / "report.css"


@dataclass(frozen=True)
class Link:
    """A table cell that links to a path relative to the page."""

    path: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Args:
        heading: also what the table of contents has.
        parts: HTML, one after the other; empty ones are left out.
    """

    heading: str
    parts: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """Its id in the page."""
        return re.sub(r"\W+", "-", self.heading.lower()).strip("-")

    @property
    def html(self) -> str:
        """The section as HTML."""
        parts = "\n".join(part for part in self.parts if part)
        heading = f'<h2 id="{self.anchor}">{escape(self.heading)}</h2>'
        return f'<section aria-labelledby="{self.anchor}">\n{heading}\n{parts}\n</section>'


def page(title: str, parts: Sequence[str], scripts: Sequence[str] = ()) -> str:
    """The whole document.

    Args:
        title: what the browser's tab says.
        parts: HTML of the body.
        scripts: elements that come after it.
    """
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    style, body = STYLE_FILE.read_text(encoding="utf-8"), "\n".join([*parts, *scripts])
    head = f"<head>{head}<style>\n{style}</style></head>"
    return f"<!doctype html>\n<html lang='en'>{head}\n<body>\n{body}\n</body></html>\n"


def plotly_script() -> str:
    """Plotly's own script, which the figures of a page need before the first of them."""
    return f"<script>{get_plotlyjs()}</script>"


def script(name: str) -> str:
    """One of the package's scripts."""
    return f"<script>\n{(_HERE / name).read_text(encoding='utf-8')}</script>"


def contents(sections: Sequence[Section]) -> str:
    """The table of contents."""
    links = " ".join(f'<a href="#{section.anchor}">{escape(section.heading)}</a>' for section in sections)
    return f'<nav aria-label="Contents">{links}</nav>'


def figure(drawn: go.Figure, name: str, says: str) -> str:
    """A figure, whose script stands elsewhere on the page (`plotly_script`).

    Args:
        drawn: the figure.
        name: its id in the page.
        says: what it shows, for those who do not see it.
    """
    drawn.update_layout(autosize=True)
    config = {"responsive": True, "displaylogo": False}
    html: str = drawn.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config)
    return f'<div role="img" aria-label="{escape(says)}">{html}</div>'


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is ``note`` or ``warning``."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def subheading(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def preformatted(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str | Link]],
    marked: int | None = None,
    points: Sequence[str] | None = None,
) -> str:
    """A table, which scrolls by itself where it is wider than the page.

    Args:
        header: names of the columns.
        rows: cells.
        marked: row to highlight.
        points: for each row the point that it stands for: choosing it shows that point.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<td>{_cell(cell)}</td>" for cell in row)
        point = "" if points is None else f' tabindex="0" data-point="{escape(points[number])}"'
        lines.append(f"<tr{' class=marked' if number == marked else ''}{point}>{cells}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )  # fmt: skip


def _cell(cell: str | Link) -> str:
    if isinstance(cell, Link):
        return f'<a href="{quote(cell.path)}">{escape(cell.path)}</a>'
    return escape(cell)


def image(name: str, source: str) -> str:
    """A picture with its name under it; `source` is a data URL."""
    caption = escape(name.replace("_", " "))
    return (
        f'<figure><img alt="{caption}" data-picture="{escape(name)}" src="{source}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
