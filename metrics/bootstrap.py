"""The bootstrap as weights: how often each of n samples is drawn, so that statistics of replicates are products.

Source: Efron, *Bootstrap methods: another look at the jackknife*, Annals of Statistics 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def bootstrap_counts(num_samples: int, num_replicates: int, generator: torch.Generator) -> Tensor:
    """How often a replicate holds each sample: (num_replicates, num_samples) float64, rows sum to ``num_samples``."""
    drawn = torch.randint(num_samples, (num_replicates, num_samples), generator=generator)
    counts = torch.zeros(num_replicates, num_samples, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))


def ratio_stderr(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Standard error of the ratio of two statistics, from replicates that resample the same draws at equal positions.

    What the two have in common cancels: images generated from equal noise resemble each other, so that the ratio of two
    models' FIDs is known better than either FID.

    Args:
        numerator: (R,) replicates of one model's value.
        denominator: (R,) replicates of the other's, on the same draws.

    Returns:
        The standard deviation of the replicates' ratios; NaN where there are fewer than two, where the two were
        resampled differently often, or where a ratio is not finite.
    """
    if len(numerator) != len(denominator) or len(numerator) < 2:
        return math.nan
    ratios = torch.tensor(numerator, dtype=torch.float64) / torch.tensor(denominator, dtype=torch.float64)
    return float(ratios.std())
