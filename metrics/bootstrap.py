"""The bootstrap as weights: how often each of n samples is drawn, so that statistics of replicates are products.

Source: Efron, *Bootstrap methods: another look at the jackknife*, Annals of Statistics 1979.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bootstrap_counts(num_samples: int, num_replicates: int, generator: torch.Generator) -> Tensor:
    """How often a replicate holds each sample: (num_replicates, num_samples) float64, rows sum to ``num_samples``."""
    drawn = torch.randint(num_samples, (num_replicates, num_samples), generator=generator)
    counts = torch.zeros(num_replicates, num_samples, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
