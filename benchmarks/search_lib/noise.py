"""What an evaluation of few draws shows of a truth: noise as large as the record's single draws say.

All draws are independent between models. Real evaluations share their noise between models and so compare them better:
searches that measure with fewer draws are shown worse here than they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import stdev
from typing import Final

import numpy as np

from benchmarks.search_lib.costs import Counts
from benchmarks.search_lib.recorded import LOOKS, Report
from metrics.metric import Measurement
from metrics.sequential import Bound, interval, is_decided, looks

#: With which the constraint is decided.
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Spread:
    """How noisy single draws are: standard deviation of one denoising and one probe, and of the distance by images."""

    sscd: float
    nll: float
    fid: Mapping[int, float]

    @classmethod
    def of(cls, report: Report) -> Spread:
        """That of a recorded report."""
        errors = {count: distance.difference_stderr for count, distance in report.distances.items()}
        return cls(stdev(report.similarities), stdev(report.bits_per_dim), errors)


class Draws:
    """The draws of one model at one rung; the first n are the same however many are made.

    Args:
        truth: metric → value.
        spread: of single draws.
        rng: the model's own.
    """

    def __init__(self, truth: Mapping[str, float], spread: Spread, rng: np.random.Generator) -> None:
        self._truth, self._spread = truth, spread
        steps = np.sqrt(np.diff([0, *LOOKS])) * rng.standard_normal(len(LOOKS))
        # Sums of the first draws over the root of their number: unit variance, and those of n and 2n correlate.
        self._images = dict(zip(LOOKS, np.cumsum(steps) / np.sqrt(LOOKS), strict=True))
        self._denoisings, self._probes = rng.standard_normal(2)

    def fid(self, num_images: int) -> float:
        """The distance of the first images, its difference to the untouched model's added to that of all images.

        Raises:
            KeyError: the record does not say how noisy so many images are.
        """
        return float(self._truth["fid"] + self._spread.fid[num_images] * self._images[num_images])

    def measure(self, counts: Counts) -> dict[str, float]:
        """All metrics."""
        return {
            "sscd": float(self._truth["sscd"] + self._spread.sscd / math.sqrt(counts.denoisings) * self._denoisings),
            "nll": float(self._truth["nll"] + self._spread.nll / math.sqrt(counts.probes) * self._probes),
            "fid": self.fid(counts.images),
        }

    def enough_images(self, num_images: int, bound: float) -> int:
        """How many images are made where one stops as soon as ``fid <= bound`` is decided, as a study does."""
        counts = [count for count in looks(num_images) if count in self._images]
        for count in counts:
            found = Measurement(self.fid(count), self._spread.fid[count], count)
            if is_decided([(Bound("fid", "<=", bound), interval(found, CONFIDENCE, len(counts)))]):
                return count
        return num_images
