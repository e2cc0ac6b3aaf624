"""Fréchet distance between generated and real images in a feature space.

FID is the distance between the two Gaussians that have the features' means and covariances (Heusel et al., arXiv
1706.08500, equation 6). On Inception-v3's pool features it is the published FID; on other features its label says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from metrics.bootstrap import bootstrap_counts
from metrics.gaussian import GaussianStatistics, sum_of_roots
from metrics.metric import Direction, Measurement, Metric

if TYPE_CHECKING:
    from metrics.evidence import Evidence

NUM_REPLICATES = 100


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
        distances.append(mean.square().sum() + trace + real.covariance.trace() - 2 * sum_of_roots(gram))
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
