"""How methods are told apart in pictures: by colour and by shape, either enough by itself as far as there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn."""

    colour: str
    plotly_symbol: str
    matplotlib_marker: str


#: Okabe and Ito's colours, safe for colour-blind readers, without the yellow that white swallows.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: A shape in plotly and in matplotlib. As many as have no factor in common with the colours: where these begin anew
#: shapes have moved on, so that no pair comes twice before all 63 have been had.
SHAPES: Final = (
    ("circle", "o"), ("square", "s"), ("triangle-up", "^"), ("diamond", "D"), ("triangle-down", "v"), ("pentagon", "p"),
    ("hexagon", "h"), ("triangle-left", "<"), ("triangle-right", ">"),
)  # fmt: skip


def style_of(method: str, methods: Sequence[str]) -> MethodStyle:
    """The style of a method, the same in every picture of a study."""
    order = list(methods)
    number = order.index(method) if method in order else len(order)
    return MethodStyle(COLOURS[number % len(COLOURS)], *SHAPES[number % len(SHAPES)])
