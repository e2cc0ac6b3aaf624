"""When enough images are made to say on which side of a bound a model lies."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95


def decided(value: float, stderr: float, bound: float, num_looks: int, confidence: float = CONFIDENCE) -> bool | None:
    """Whether ``value <= bound`` in truth; None while the interval around the value holds the bound.

    Args:
        value: the paired estimate.
        stderr: its standard error.
        bound: an upper one.
        num_looks: how often the question is asked of one model; each look has its share of the error (Bonferroni).
        confidence: of all looks together.
    """
    half = NormalDist().inv_cdf(1.0 - (1.0 - confidence) / (2.0 * num_looks)) * stderr
    if value + half <= bound:
        return True
    return False if value - half > bound else None


def blocks(num_images: int, least: int) -> Sequence[int]:
    """Numbers of images to look at: an eighth, a quarter, half and all of them, none below ``least``."""
    return [count for count in (num_images // 8, num_images // 4, num_images // 2) if count >= least] + [num_images]
