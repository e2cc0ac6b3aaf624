"""How often a prompt still makes the image that it has memorised, by two rules; success is that it never does.

``memorised_share`` is the k-means rule of *Data Unlearning in Diffusion Models* (arXiv 2503.01034),
``copied_share`` calls a copy what reaches an SSCD of ``COPY_SIMILARITY`` (arXiv 2212.03860); both have Wilson's
interval.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from metrics.metric import Direction, Measurement, Metric
from metrics.regeneration_rate import share

if TYPE_CHECKING:
    from metrics.evidence import Evidence

#: Cosine of SSCD descriptors from which on arXiv 2212.03860 counts an image as a copy.
COPY_SIMILARITY = 0.5
_COST = "num_images × num_sampling_steps rows, shared by every metric of samples"


def _unknown(total: int) -> Measurement:
    return Measurement(math.nan, math.nan, total, (math.nan, math.nan))


class MemorisedShare(Metric):
    """Share of samples, over all prompts, whose descriptor lies in the memorised cluster."""

    name: ClassVar[str] = "memorised_share"
    direction: ClassVar[Direction] = "minimize"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[tuple[str, ...]] = ("sample_descriptors",)
    cost: ClassVar[str] = _COST

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if a sample is not finite.

        Raises:
            ValueError: if the workload has no clusters of memorised images.
        """
        rule = evidence.subject.memorised
        if rule is None:
            raise ValueError(
                "memorised_share needs clusters of labelled images, but the workload has none; leave it out"
            )
        descriptors = evidence.sample_descriptors
        if not bool(descriptors.isfinite().all()):
            return _unknown(len(descriptors))
        return share(rule(descriptors))


def copied(descriptors: Tensor, forget_descriptors: Tensor) -> Tensor:
    """Which images, by their descriptors (N, D), reach ``COPY_SIMILARITY`` to some forget image (F, D): (N,) bool."""
    unit = torch.nn.functional.normalize
    cosines = unit(descriptors.double(), dim=1) @ unit(forget_descriptors.double(), dim=1).T
    return cosines.amax(1) >= COPY_SIMILARITY


class CopiedShare(Metric):
    """Share of samples, over all prompts, whose SSCD to a forget image is at least ``COPY_SIMILARITY``."""

    name: ClassVar[str] = "copied_share"
    direction: ClassVar[Direction] = "minimize"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[tuple[str, ...]] = ("sample_descriptors", "forget_descriptors")
    cost: ClassVar[str] = _COST

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if a sample is not finite."""
        descriptors = evidence.sample_descriptors
        if not bool(descriptors.isfinite().all()):
            return _unknown(len(descriptors))
        return share(copied(descriptors, evidence.forget_descriptors))
