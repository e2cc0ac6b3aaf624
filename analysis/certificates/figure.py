"""Where the forget image lies among unseen ones, as a small drawing inside of the page; no torch."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.certificates.standings import MODELS, numbers

_UNSEEN, _FORGET, _INK = "#6b7280", "#D55E00", "#222222"
#: Inches, of a column of an A4 page.
_WIDTH, _ROW = 7.4, 0.62
_JITTER: Final = 0.24


def strip_figure(models: Mapping[str, Mapping[str, Sequence[Any]]], axis: str, key: str) -> str:
    """One strip for each model: unseen images as dots, the forget images as diamonds, an SVG element.

    Args:
        models: model → ``forget`` and ``unseen`` values of one statistic.
        axis: what the axis is called.
        key: tells the drawings of a page apart.
    """
    names = [name for name in MODELS if name in models]
    # What this machine's user likes of drawings stays out: the page is made anew elsewhere, and compared.
    with style.context(["default", {"svg.fonttype": "none", "svg.hashsalt": key, "font.size": 9}]):
        figure = Figure(figsize=(_WIDTH, 0.85 + _ROW * len(names)), layout="constrained")
        axes = figure.subplots()
        for row, name in enumerate(names):
            _strip(axes, numbers(models[name]["unseen"]), numbers(models[name]["forget"]), row, first=row == 0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(axis)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.25)
        legend = figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8.5)
        dot = legend.legend_handles[0]
        if dot is not None:
            dot.set(sizes=[30], alpha=0.9)  # one as small as in the strips is not seen there
        stream = io.StringIO()
        figure.savefig(
            stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), transparent=True
        )
    svg = stream.getvalue()
    drawing = svg[svg.index("<svg") :].strip()
    opening = f'<svg role="img" aria-label="{escape(_described(models, names, axis))}"'
    return f'<figure class="drawing">{drawing.replace("<svg", opening, 1)}</figure>'


def _strip(axes: Axes, unseen: Sequence[float], forget: Sequence[float], row: int, *, first: bool) -> None:
    dots = np.asarray(unseen, dtype=float)
    # Spread by a fixed rule, so that the same certificate has the same drawing.
    offsets = _JITTER * (2 * (np.arange(len(dots)) * 0.618034 % 1) - 1)
    label = "an unseen image" if first else None
    axes.scatter(dots, row + offsets, s=9, c=_UNSEEN, alpha=0.55, linewidths=0, label=label)
    shown = [value for value in forget if math.isfinite(value)]
    label = "the forget image" if first else None
    axes.scatter(shown, [row] * len(shown), s=75, c=_FORGET, marker="D", edgecolors=_INK, zorder=3, label=label)


def _described(models: Mapping[str, Mapping[str, Sequence[Any]]], names: Sequence[str], axis: str) -> str:
    """The drawing in words, for who cannot see it."""
    texts = []
    for name in names:
        unseen, forget = numbers(models[name]["unseen"]), numbers(models[name]["forget"])
        at = ", ".join(f"{value:.3g}" for value in forget)
        texts.append(
            f"{name} model: the forget image at {at}, unseen images from {min(unseen):.3g} to {max(unseen):.3g}"
        )
    return f"{axis}. " + "; ".join(texts) + "."
