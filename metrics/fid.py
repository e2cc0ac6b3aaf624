"""Fréchet distance between generated and real images in a feature space.

FID is the distance between the two Gaussians that have the features' means and covariances (Heusel et al., arXiv
1706.08500, equation 6). On Inception-v3's pool features it is the published FID; on other features its label says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from metrics.bootstrap import bootstrap_counts
from metrics.metric import Direction, Measurement, Metric

if TYPE_CHECKING:
    from metrics.evidence import Evidence

NUM_REPLICATES = 100


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
    distance = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * _sum_of_roots(root @ cov1 @ root)
    return max(float(distance), 0.0)


def bootstrap_distances(features: Tensor, real: GaussianStatistics, counts: Tensor) -> Tensor:
    """The Fréchet distance of each bootstrap replicate of ``features`` (N, D) to ``real``; counts (R, N), result (R,).

    Equal to ``frechet_distance`` on the resampled features. cov^½ of the real features is taken once, and the
    eigenvalues are those of the smaller of the two Gram matrices of the centred features times cov^½.
    """
    features = features - real.mean
    projected = features @ real.root
    total = features.shape[0]
    distances = []
    for weights in counts:
        mean = weights @ features / total
        trace = (weights @ (features - mean).square().sum(1)) / (total - 1)
        centred = (projected - weights @ projected / total) * (weights / (total - 1)).sqrt()[:, None]
        gram = centred.T @ centred if centred.shape[1] <= total else centred @ centred.T
        distances.append(mean.square().sum() + trace + real.covariance.trace() - 2 * _sum_of_roots(gram))
    return torch.stack(distances)


class FrechetInceptionDistance(Metric):
    """FID of the generated images; standard error by the bootstrap over generated images, the real ones fixed.

    The distance cannot fall under 0, so that the bootstrap overstates the error where generated and real features
    hardly differ. Not to be confused with a mean: its bias falls with the number of images, compare at equal counts.
    """

    name: ClassVar[str] = "fid"
    direction: ClassVar[Direction] = "minimize"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    needs: ClassVar[tuple[str, ...]] = ("sample_features",)
    cost: ClassVar[str] = "num_images × num_sampling_steps rows, shared by every metric of samples"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN for a single image, which has no covariance."""
        features = evidence.sample_features.to(torch.float64)
        real = evidence.subject.real_statistics
        if real is None:
            raise ValueError("fid needs statistics of real images, but the workload has none; leave fid out")
        samples = GaussianStatistics.of(features)
        value = samples.distance(real)
        if math.isnan(value):
            return Measurement(math.nan, math.nan, samples.count)
        counts = bootstrap_counts(samples.count, NUM_REPLICATES, evidence.generator("bootstrap", self.name))
        replicates = bootstrap_distances(features, real, counts)
        return Measurement(value, float(replicates.std()), samples.count, replicates=tuple(replicates.tolist()))


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _sum_of_roots(matrix: Tensor) -> Tensor:
    values: Tensor = torch.linalg.eigvalsh(matrix)
    return values.clamp_min(0).sqrt().sum()
