"""Decides a bound on generated images from as few of them as a confidence allows.

Images are made in blocks under noises that every model of a study shares, the untouched one included. After each block
the value that all images would have is estimated by the *paired* difference to the untouched model, v_n − u_n + u_N:
at equal counts the bias of a Fréchet distance, and most of its sampling error, is in both and cancels. Looking K times
at confidence c decides wrongly with probability at most 1 − c where each look is taken at 1 − (1 − c)/K (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

from metrics.metric import Measurement

#: How often images are looked at, the last time at all of them; each block doubles their number.
NUM_LOOKS: Final = 4
#: Fewer say nothing of a distribution.
LEAST_IMAGES: Final = 16


@dataclass(frozen=True)
class Bound:
    """A constraint in the metric's own unit.

    Attributes:
        metric: its name.
        op: which side of ``value`` keeps the bound.
        value: finite.
    """

    metric: str
    op: Literal["<=", ">="]
    value: float

    def keeps(self, value: float) -> bool:
        """Whether ``value`` keeps the bound; NaN does not."""
        return value <= self.value if self.op == "<=" else value >= self.value

    def violation(self, value: float) -> float:
        """max(0, excess) / |bound|, in [0, inf]; a bound of 0 has no scale; NaN and infinities are ``inf``."""
        if not math.isfinite(value):
            return math.inf
        excess = value - self.value if self.op == "<=" else self.value - value
        return max(0.0, excess) / (abs(self.value) or 1.0)


def looks(num_images: int) -> tuple[int, ...]:
    """After how many images to look: an eighth, a quarter, half, all; only the last may be under ``LEAST_IMAGES``."""
    counts = {-(-num_images // 2**halvings) for halvings in range(NUM_LOOKS)}
    return (*sorted(count for count in counts if LEAST_IMAGES <= count < num_images), num_images)


def paired(measured: Measurement, untouched: Measurement, untouched_whole: float) -> Measurement:
    """What the value at all images is by some of them: v_n − u_n + u_N, with the standard error of v_n − u_n.

    Args:
        measured: of a model, by the first n images.
        untouched: of the untouched model, by the same n.
        untouched_whole: u_N, of the untouched model by all N.

    Returns:
        ``measured`` as it is where the two have no resamples that pair: then it is taken for an unbiased mean.
    """
    if not measured.replicates or len(measured.replicates) != len(untouched.replicates):
        return measured
    shift = untouched_whole - untouched.value
    replicates = np.array(measured.replicates) - np.array(untouched.replicates) + untouched_whole
    stderr = float(np.std(replicates, ddof=1)) if len(replicates) > 1 else math.nan
    return replace(measured, value=measured.value + shift, stderr=stderr, replicates=tuple(map(float, replicates)))


def interval(measured: Measurement, confidence: float, num_looks: int) -> tuple[float, float]:
    """value ± z · stderr with z at 1 − (1 − confidence)/(2 · num_looks).

    Args:
        measured: an error that is not known makes the interval endless; a value that is not, NaN.
        confidence: that none of ``num_looks`` intervals misses the true value, in (0, 1).
    """
    stderr = math.inf if math.isnan(measured.stderr) else measured.stderr
    width = NormalDist().inv_cdf(1 - (1 - confidence) / (2 * num_looks)) * stderr
    return measured.value - width, measured.value + width


def is_decided(bounds: Sequence[tuple[Bound, tuple[float, float]]], *, only_broken: bool = False) -> bool:
    """Whether more images would change nothing: some bound is broken for certain, or every one is kept for certain.

    Args:
        bounds: each with the interval of its metric; a metric that is NaN breaks it.
        only_broken: go on although every bound is kept, since the images are wanted for something else.
    """
    sides = [{bound.keeps(end) for end in ends} for bound, ends in bounds]
    return {False} in sides or (not only_broken and all(side == {True} for side in sides))
