"""Collateral forgetting: NLL and SSCD of the retain images nearest to the forget images.

A global FID hides it when a model loses what lies beside the forget image. Formulas are those of ``nll`` and ``sscd``;
the directions are reversed, since here the images are to be kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from metrics.metric import Direction, Measurement, Metric
from metrics.nll import mean_bits_per_dim
from metrics.sscd import mean_similarity

if TYPE_CHECKING:
    from metrics.evidence import Evidence


@torch.no_grad()
def nearest_neighbours(forget: Tensor, retain: Tensor, k: int) -> Tensor:
    """Indices (k,) int64 of the retain images nearest to any forget image by cosine of descriptors, nearest first.

    Args:
        forget, retain: descriptors (F, D) and (R, D) of the images. Copies of a forget image must not be among the
            retain images: they would be the nearest.
        k: number of neighbours in all, not per forget image; ties go to the lower index.

    Raises:
        ValueError: unless 1 <= k <= R, or if a descriptor is not finite.
    """
    if not 1 <= k <= len(retain):
        raise ValueError(f"1 <= k <= number of retain images must hold, but got k={k}, {len(retain)} retain images")
    similarity = (functional.normalize(retain, dim=1) @ functional.normalize(forget, dim=1).T).amax(1)
    if not bool(similarity.isfinite().all()):
        raise ValueError("descriptors must be finite, but some are not: check the images and the descriptor's weights")
    return similarity.argsort(descending=True, stable=True)[:k].cpu()


class NeighbourLikelihood(Metric):
    """Mean bits per dimension of the neighbours: up is collateral damage."""

    name: ClassVar[str] = "nll_neighbours"
    direction: ClassVar[Direction] = "minimize"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    needs: ClassVar[tuple[str, ...]] = ("neighbour_likelihood",)
    cost: ClassVar[str] = "as nll, a neighbour taking at least 2 probes and as many in all as the forget images"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if the network's output is not finite; a NaN standard error for a single probe."""
        likelihood = evidence.neighbour_likelihood
        return mean_bits_per_dim(likelihood.bits_per_dim, likelihood.stderr, evidence.num_neighbour_probes)


class NeighbourSimilarity(Metric):
    """Mean cosine between denoised injections of the neighbours and the clean ones: down is collateral damage."""

    name: ClassVar[str] = "sscd_neighbours"
    direction: ClassVar[Direction] = "maximize"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    needs: ClassVar[tuple[str, ...]] = ("neighbour_descriptors", "neighbour_denoising_descriptors")
    cost: ClassVar[str] = "as sscd, a neighbour taking at least 2 denoisings and as many in all as the forget images"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if a denoising is not finite."""
        return mean_similarity(evidence.neighbour_denoising_descriptors, evidence.neighbour_descriptors)
