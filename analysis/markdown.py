"""Markdown out of text that is not to be trusted: nothing in it becomes markup, a link or HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: What starts markup within a line, of which HTML is taken care of by itself.
_MARKUP = re.compile(r"([\\`*_\[\]|~#])")
#: Those of HTML, not those of a bound.
_BRACKETS = re.compile(r"[<>](?!= )")
_BREAKS = re.compile(r"\s+")
#: What some renderers make a link of by themselves: the colon of an address, and the dot behind www.
_AUTOLINK = re.compile(r":(?=//)|(?<=www)\.(?=\S)", re.IGNORECASE)


def escaped(text: object) -> str:
    """Text as it stands, on one line. HTML becomes entities, which every renderer shows as what they stand for."""
    plain = _BREAKS.sub(" ", str(text)).strip().replace("&", "&amp;")
    shown = _MARKUP.sub(r"\\\1", _BRACKETS.sub(lambda found: "&lt;" if found[0] == "<" else "&gt;", plain))
    return _AUTOLINK.sub(r"\\\g<0>", shown)


def code(text: object) -> str:
    """A code span, on one line, also of text with backticks or, in a table, pipes; a dash where there is no text."""
    plain = _BREAKS.sub(" ", str(text)).strip().replace("|", r"\|")
    if not plain:
        return "–"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    return f"{fence} {plain} {fence}" if "`" in plain else f"{fence}{plain}{fence}"


def block(text: str, language: str = "") -> str:
    """A code block."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
