"""95% intervals of what a certificate measured, of one kind for each metric; no torch."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Final

#: How an interval was made: by the metric itself, or of value and standard error.
OWN, NORMAL = "own", "normal"
Z95: Final = NormalDist().inv_cdf(0.975)


def interval_entries(value: float, stderr: float, own: tuple[float, float] | None) -> dict[str, Any]:
    """``low``, ``high`` and ``interval``, which says how they were made; nothing where the error is not known.

    The metric's own is taken where it has one, as shares of images do (Wilson's score). Else it is value ± 1.96
    standard errors, which takes the error as normal and as known: it is too narrow over a handful of draws.

    Args:
        value: as measured.
        stderr: its standard error.
        own: the metric's 95% interval.
    """
    if own is not None:
        return {"low": own[0], "high": own[1], "interval": OWN}
    if not math.isfinite(value) or not math.isfinite(stderr):
        return {}
    return {"low": value - Z95 * stderr, "high": value + Z95 * stderr, "interval": NORMAL}


def interval_text(low: float, high: float) -> str:
    """The interval in brackets, its ends to two digits of half its width."""
    width = (high - low) / 2
    if not math.isfinite(width) or width <= 0:
        return f"[{low:.4g}, {high:.4g}]"
    decimals = max(0, 1 - math.floor(math.log10(width)))
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"
