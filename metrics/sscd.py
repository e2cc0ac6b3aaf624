"""SSCD: how near a forget image the model comes back to when it has been drowned in noise; down is forgotten.

Cosine similarity of copy-detection descriptors (Pizzi et al., arXiv 2202.10261) between the clean image and the image
denoised from ``injection_timestep``, as *Data Unlearning in Diffusion Models* (arXiv 2503.01034) measures it on CelebA.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from metrics.metric import Direction, Measurement, Metric

if TYPE_CHECKING:
    from metrics.evidence import Evidence


def mean_similarity(denoised: Tensor, clean: Tensor) -> Measurement:
    """Mean cosine of the descriptors of denoisings (I, M, D) with those of their clean images (I, D), in [-1, 1].

    The images are given, the M denoisings of each are drawn: the standard error is sqrt(Σ_i s_i² / M) / I, with s_i²
    the variance within image i. NaN for M = 1.
    """
    cosines = functional.cosine_similarity(denoised.to(torch.float64), clean.to(torch.float64)[:, None], dim=-1)
    cosines = cosines.clamp(-1, 1)  # rounding leaves [-1, 1] by a hair
    images, draws = cosines.shape
    variance = cosines.var(1) if draws > 1 else torch.full((images,), math.nan)
    return Measurement(float(cosines.mean()), float((variance / draws).sum().sqrt() / images), images * draws)


class CopySimilarity(Metric):
    """Mean cosine between denoised injections of the forget images and the clean images; standard error over noises.

    Not to be confused with a semantic similarity, nor with the regeneration rate: here the model is shown the image. A
    timestep at which too much signal is left is restored by a model that never saw the image.
    """

    name: ClassVar[str] = "sscd"
    direction: ClassVar[Direction] = "minimize"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    needs: ClassVar[tuple[str, ...]] = ("denoising_descriptors", "forget_descriptors")
    cost: ClassVar[str] = "num_denoisings × num_denoising_steps rows a forget image"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if a denoising is not finite."""
        return mean_similarity(evidence.denoising_descriptors, evidence.forget_descriptors)
