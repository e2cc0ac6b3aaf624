"""Naive deletion: go on training on the retain images alone (arXiv 2503.01034, section 4.1)."""

from __future__ import annotations

from typing import ClassVar

import torch

from diffusion.denoiser import Denoiser
from trainable.batch import ForgetRetainBatch
from trainable.methods.method import Combination, GradientGeometry, Losses, Method, squared_error


class NaiveDeletion(Method):
    """g_x; no hyper-parameters."""

    name: ClassVar[str] = "naive_deletion"
    needs_forget: ClassVar[bool] = False

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        noisy = denoiser.schedule.add_noise(batch.retain, batch.noise, batch.timesteps)
        prediction = denoiser(noisy, batch.timesteps, batch.condition)
        return Losses(retain=squared_error(prediction, batch.noise), forget=None)

    def combine(self, geometry: GradientGeometry) -> Combination:
        return Combination(retain=1.0, forget=0.0)
