"""The k-means rule of arXiv 2503.01034: whether an image lies in the cluster of memorised ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clusters:
    """Two centroids of descriptors: of memorised images, and of the others.

    Attributes:
        memorised: (D,).
        others: (D,).
    """

    memorised: Tensor
    others: Tensor

    @classmethod
    def of(cls, memorised: Tensor, others: Tensor) -> Clusters:
        """k-means with k = 2 over both kinds together, started from the mean of each.

        Args:
            memorised, others: descriptors (N, D) and (M, D) of images made by the untouched model, N and M >= 1.
        """
        from sklearn.cluster import KMeans

        start = torch.stack([memorised.mean(0), others.mean(0)]).double().numpy()
        points = torch.cat([memorised, others]).double().numpy()
        centroids = torch.from_numpy(KMeans(n_clusters=2, init=start, n_init=1).fit(points).cluster_centers_).float()
        return cls(centroids[0], centroids[1])

    def is_memorised(self, descriptors: Tensor) -> Tensor:
        """(B,) bool of descriptors (B, D): nearer to the memorised centroid. NaN is not."""
        memorised, others = (
            (descriptors - centroid.to(descriptors)).square().sum(1) for centroid in (self.memorised, self.others)
        )
        return memorised < others
