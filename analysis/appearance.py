"""What all figures of a report look like alike, and how the points in them are called."""

from __future__ import annotations

from typing import Any, Final

#: Text, on white: far above the contrast that WCAG asks for (4.5).
FONT_COLOUR: Final = "#222222"
#: Lines and what is of less weight; as text on white its contrast is 5.7.
MUTED: Final = "#666666"
#: What lies within bounds, and what a front dominates: light enough for text upon it.
WITHIN: Final = "rgba(0, 158, 115, 0.10)"
DOMINATED: Final = "rgba(86, 180, 233, 0.15)"

#: From nothing to all, light enough for text upon it.
SHADES: Final = ((0.0, "#ffffff"), (1.0, "#56B4E9"))

_FONT: Final = {"color": FONT_COLOUR, "size": 13, "family": "system-ui, sans-serif"}
#: A legend under the axes, where it covers nothing.
LEGEND_BELOW: Final[dict[str, Any]] = {
    "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "itemsizing": "constant"},
    "margin": {"l": 80, "r": 20, "t": 20, "b": 110},
    "font": _FONT,
}
#: As `LEGEND_BELOW`, of a figure without a legend.
NO_LEGEND: Final[dict[str, Any]] = {
    "showlegend": False,
    "margin": {"l": 70, "r": 20, "t": 30, "b": 60},
    "font": _FONT,
}


def point_key(trial_id: object, step: object) -> str:
    """The name of a report's point, the same in every figure: ``<trial_id>-<step>``."""
    return f"{trial_id}-{step}"


def mean_key(trial_id: object, step: object) -> str:
    """The name of a repeated setting's point, the mean of its runs."""
    return f"mean:{trial_id}-{step}"


def member_key(trial_id: object, step: object) -> str:
    """The name of a front member's point, whose values are those of the second measurement."""
    return f"member:{trial_id}-{step}"
