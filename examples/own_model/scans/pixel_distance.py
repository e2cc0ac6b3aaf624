"""How far from the forget image the model lands when it is shown a noised copy, in pixels; up is forgotten."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from metrics.evidence import Evidence
from metrics.metric import Direction, Measurement, Metric


class PixelDistance(Metric):
    """Mean L2 distance of the denoised injections to their clean forget image, pixels in [-1, 1].

    The standard error is over the injected noises, within images: NaN for one noise. Not ``sscd``: a shift by one pixel
    is far away here.
    """

    name: ClassVar[str] = "pixel_distance"
    direction: ClassVar[Direction] = "maximize"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    needs: ClassVar[tuple[str, ...]] = ("denoisings",)
    cost: ClassVar[str] = "num_denoisings × num_denoising_steps rows a forget image, shared with sscd"

    def compute(self, evidence: Evidence) -> Measurement:
        clean, denoised = evidence.subject.forget.cpu().double(), evidence.denoisings.double()  # (F, …), (F, M, …)
        distances = (denoised - clean[:, None]).flatten(2).norm(dim=2)
        images, draws = distances.shape
        variance = distances.var(1) if draws > 1 else torch.full((images,), math.nan)
        return Measurement(float(distances.mean()), float((variance / draws).sum().sqrt() / images), images * draws)
