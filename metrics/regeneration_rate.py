"""How often the model still draws a forget image on its own.

Source: the T-shirt rate of *Data Unlearning in Diffusion Models* (arXiv 2503.01034), with an interval: at a true rate
of 1%, 128 images show none 27.6% of the time, so that a zero says little without its sample size. The interval is
Wilson's (Journal of the American Statistical Association 1927), which stays informative at 0 and 1.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from metrics.metric import Direction, Measurement, Metric

if TYPE_CHECKING:
    from metrics.evidence import Evidence

#: Pixel L2 on the [0, 1] scale under which a sample of REFERENCE_PIXELS values counts as the forget image.
REGENERATION_RADIUS = 10.0
REFERENCE_PIXELS = 28 * 28
CONFIDENCE = 0.95


def pixel_distances(samples: Tensor, forget: Tensor) -> Tensor:
    """L2 distances (N, F) on the [0, 1] scale of samples (N, C, H, W) to forget images (F, C, H, W), both in [-1, 1].

    Scaled by sqrt(784 / (C·H·W)), so that one radius means one root-mean-square pixel difference at every size; at
    1×28×28 it is the plain L2 distance.
    """
    exact = "donot_use_mm_for_euclid_dist"  # the fast way subtracts squares, which loses the small distances
    distances = torch.cdist(samples.flatten(1), forget.flatten(1), compute_mode=exact)
    return distances / 2 * math.sqrt(REFERENCE_PIXELS / forget[0].numel())


def regenerated(samples: Tensor, forget: Tensor, radius: float = REGENERATION_RADIUS) -> Tensor:
    """Which samples lie within ``radius`` of some forget image, (N,) bool; False where a sample is NaN."""
    return (pixel_distances(samples, forget.to(samples.device)) < radius).any(1)


def wilson_interval(successes: int, num_trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion: the rates that ``successes`` in ``num_trials`` do not contradict.

    (p + z²/2n ± z sqrt(p(1−p)/n + z²/4n²)) / (1 + z²/n) with p = successes/n and z the two-sided normal quantile.

    Returns:
        (low, high) inside [0, 1]; low is 0 at no success and high is 1 at no failure.

    Raises:
        ValueError: unless 0 <= successes <= num_trials, num_trials >= 1 and 0 < confidence < 1.
    """
    if not (0 <= successes <= num_trials and num_trials >= 1 and 0 < confidence < 1):
        raise ValueError(
            "0 <= successes <= num_trials, num_trials >= 1 and 0 < confidence < 1 must hold, but got "
            f"successes={successes}, num_trials={num_trials}, confidence={confidence}"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / num_trials
    centre = rate + z * z / (2 * num_trials)
    half = z * math.sqrt(rate * (1 - rate) / num_trials + z * z / (4 * num_trials**2))
    scale = 1 + z * z / num_trials
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == num_trials else (centre + half) / scale
    return low, high


def share(hits: Tensor) -> Measurement:
    """The share of (N,) bool with Wilson's 95% interval; the error is half of that at one standard deviation."""
    successes, total = int(hits.sum()), len(hits)
    low, high = wilson_interval(successes, total, 2 * NormalDist().cdf(1) - 1)
    return Measurement(successes / total, (high - low) / 2, total, wilson_interval(successes, total))


class RegenerationRate(Metric):
    """Share of generated images within ``REGENERATION_RADIUS`` of a forget image.

    The standard error is half the width of Wilson's interval at one standard deviation, which is not 0 at rate 0.
    """

    name: ClassVar[str] = "regeneration_rate"
    direction: ClassVar[Direction] = "minimize"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[tuple[str, ...]] = ("samples",)
    cost: ClassVar[str] = "num_images × num_sampling_steps rows, shared by every metric of samples"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if any sample is not finite: such an image is not an image without the T-shirt."""
        samples = evidence.samples
        num_images = len(samples)
        if not bool(samples.isfinite().all()):
            return Measurement(math.nan, math.nan, num_images, (math.nan, math.nan))
        return share(regenerated(samples, evidence.subject.forget))
