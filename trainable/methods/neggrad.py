"""NegGrad: gradient ascent on the forget images (arXiv 1911.04933; arXiv 2503.01034, section 4.1)."""

from __future__ import annotations

from typing import ClassVar

import torch

from diffusion.denoiser import Denoiser
from trainable.batch import ForgetRetainBatch
from trainable.methods.method import Combination, GradientGeometry, Losses, Method, require, squared_error


class NegGrad(Method):
    """-superfactor g_a.

    Args:
        superfactor: factor on the learning rate, > 0. As a factor on the loss it would do nothing: the clip to norm 1
            cancels it wherever superfactor ‖g_a‖ > 1, and AdamW cancels it everywhere.
    """

    name: ClassVar[str] = "neggrad"
    needs_retain: ClassVar[bool] = False

    def __init__(self, superfactor: float) -> None:
        require(superfactor > 0, "superfactor > 0", superfactor=superfactor)
        self.superfactor = superfactor

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        noisy = denoiser.schedule.add_noise(batch.forget, batch.noise, batch.timesteps)
        prediction = denoiser(noisy, batch.timesteps, batch.condition)
        return Losses(retain=None, forget=squared_error(prediction, batch.noise))

    def combine(self, geometry: GradientGeometry) -> Combination:
        return Combination(retain=0.0, forget=-1.0, step_size=self.superfactor, degenerate=geometry.forget_norm == 0)
