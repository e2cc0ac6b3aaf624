"""Gaussians of features, and how far two of them are apart.

The Fréchet distance of two Gaussians is that of Dowson and Landau (1982); FID takes it (arXiv 1706.08500, equation 6).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianStatistics:
    """Mean and covariance of the features of ``count`` images.

    Attributes:
        mean: (D,) float64.
        covariance: (D, D) float64, divided by ``count`` - 1; NaN for a single image.
        count: number of images. FID's bias falls with it: compare at equal counts.
    """

    mean: Tensor
    covariance: Tensor
    count: int

    @classmethod
    def of(cls, batches: Tensor | Iterable[Tensor]) -> GaussianStatistics:
        """Statistics of features (N, D), or of an iterable of batches of them that is walked once.

        Batches are merged by the pairwise update of Chan, Golub and LeVeque (1979), which loses no digits where the
        sum of squares would.

        Raises:
            ValueError: if there is no image, or a batch is not (B, D).
        """
        count, mean, scatter = 0, torch.zeros(0), torch.zeros(0)
        for batch in [batches] if isinstance(batches, Tensor) else batches:
            if batch.ndim != 2:
                raise ValueError(f"features must be (B, D), but got {tuple(batch.shape)}: flatten them per image")
            if not len(batch):
                continue
            rows = batch.detach().to("cpu", torch.float64)
            batch_mean = rows.mean(0)
            centred = rows - batch_mean
            batch_scatter = centred.T @ centred
            if not count:
                count, mean, scatter = len(rows), batch_mean, batch_scatter
                continue
            total, step = count + len(rows), batch_mean - mean
            scatter = scatter + batch_scatter + torch.outer(step, step) * (count * len(rows) / total)
            mean = mean + step * (len(rows) / total)
            count = total
        if not count:
            raise ValueError("statistics need at least one image, but got none: check the folder of real images")
        return cls(mean, scatter / (count - 1) if count > 1 else torch.full_like(scatter, math.nan), count)

    def distance(self, other: GaussianStatistics) -> float:
        """``frechet_distance`` of the two Gaussians; NaN for the statistics of a single image."""
        return frechet_distance(self.mean, self.covariance, other.mean, other.covariance)

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance, (D, D) float64."""
        return _symmetric_root(self.covariance)


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """‖mean1 − mean2‖² + tr(cov1 + cov2 − 2 (cov1 cov2)^½), the squared 2-Wasserstein distance of two Gaussians.

    The last trace is the sum of the roots of the eigenvalues of cov2^½ cov1 cov2^½, which is symmetric: no complex
    square root, no offset on the diagonal of a singular covariance.

    Args:
        mean1, mean2: (D,).
        cov1, cov2: (D, D), symmetric positive semi-definite; singular is allowed.

    Returns:
        A value in [0, ∞), computed in float64; NaN if any input is not finite. Symmetric in the two Gaussians. It is a
        squared distance: not to be confused with its root.

    Raises:
        ValueError: if the shapes do not agree.
    """
    size = len(mean1)
    if mean1.shape != mean2.shape or cov1.shape != (size, size) or cov2.shape != (size, size):
        raise ValueError(
            "means must be (D,) and covariances (D, D) of one D, but got "
            f"{[tuple(tensor.shape) for tensor in (mean1, cov1, mean2, cov2)]}: use one feature network for both"
        )
    mean1, cov1, mean2, cov2 = (tensor.to("cpu", torch.float64) for tensor in (mean1, cov1, mean2, cov2))
    if not all(bool(tensor.isfinite().all()) for tensor in (mean1, cov1, mean2, cov2)):
        return math.nan
    root = _symmetric_root(cov2)
    distance = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * sum_of_roots(root @ cov1 @ root)
    return max(float(distance), 0.0)


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def sum_of_roots(matrix: Tensor) -> Tensor:
    values: Tensor = torch.linalg.eigvalsh(matrix)
    return values.clamp_min(0).sqrt().sum()
