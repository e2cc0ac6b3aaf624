"""SISS without importance sampling: both terms on rows of their own (arXiv 2503.01034, equation 4)."""

from __future__ import annotations

from typing import ClassVar

import torch

from diffusion.denoiser import Denoiser
from trainable.batch import ForgetRetainBatch
from trainable.methods.method import Combination, GradientGeometry, Losses, Method, require, squared_error
from trainable.methods.siss import subtract_scaled


class SISSNoIS(Method):
    """g_x - (scaling_norm / ‖g_a‖) g_a with losses ‖eps(x_t) - eps‖² and ‖eps(a_t) - eps‖².

    Args:
        scaling_norm: the norm that the forget gradient is set to, > 0.
    """

    name: ClassVar[str] = "siss_no_is"
    cost: ClassVar[tuple[int, int]] = (2, 2)

    def __init__(self, scaling_norm: float) -> None:
        require(scaling_norm > 0, "scaling_norm > 0", scaling_norm=scaling_norm)
        self.scaling_norm = scaling_norm

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        add_noise = denoiser.schedule.add_noise
        retain = denoiser(add_noise(batch.retain, batch.noise, batch.timesteps), batch.timesteps, batch.condition)
        forget = denoiser(add_noise(batch.forget, batch.noise, batch.timesteps), batch.timesteps, batch.condition)
        return Losses(squared_error(retain, batch.noise), squared_error(forget, batch.noise))

    def combine(self, geometry: GradientGeometry) -> Combination:
        return subtract_scaled(geometry, self.scaling_norm)
