"""SISS's mixture without its importance weights: each row serves the one term that it was drawn for.

The ablation of importance sampling: rows of one batch are retain or forget rows by a coin of bias ``lambd``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from trainable.batch import ForgetRetainBatch
from trainable.methods.method import Combination, GradientGeometry, Losses, Method, require, squared_error
from trainable.methods.siss import from_forget_rows, subtract_scaled


class Bernoulli(Method):
    """g_x - (scaling_norm / ‖g_a‖) g_a; losses ‖eps(x_t) - eps‖² / (1 - lambd) on x-rows, ‖eps(a_t) - eps‖² on a-rows.

    Each row takes part in one term only, so that one forward and one backward pass serve both.

    Args:
        lambd: probability that a row is a noised forget image, in [0, 1).
        scaling_norm: the norm that the forget gradient is set to, > 0.
    """

    name: ClassVar[str] = "bernoulli"
    cost: ClassVar[tuple[int, int]] = (1, 1)

    def __init__(self, lambd: float, scaling_norm: float) -> None:
        require(0 <= lambd < 1, "0 <= lambd < 1", lambd=lambd)
        require(scaling_norm > 0, "scaling_norm > 0", scaling_norm=scaling_norm)
        self.lambd = lambd
        self.scaling_norm = scaling_norm

    def draw(self, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> ForgetRetainBatch:
        return replace(batch, from_forget=from_forget_rows(batch, self.lambd, generator))

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        forget = from_forget_rows(batch, self.lambd, generator).to(batch.noise.device)
        retain_errors = self._errors(denoiser, batch, batch.retain, ~forget)
        forget_errors = self._errors(denoiser, batch, batch.forget, forget)
        return Losses(None if retain_errors is None else retain_errors / (1 - self.lambd), forget_errors)

    def combine(self, geometry: GradientGeometry) -> Combination:
        return subtract_scaled(geometry, self.scaling_norm)

    @staticmethod
    def _errors(denoiser: Denoiser, batch: ForgetRetainBatch, images: Tensor, rows: Tensor) -> Tensor | None:
        """Errors of the chosen rows, which have a graph of their own; None where there are none."""
        if not bool(rows.any()):
            return None
        noise, timesteps = batch.noise[rows], batch.timesteps[rows]
        condition = {name: value[rows] for name, value in batch.condition.items()}
        noisy = denoiser.schedule.add_noise(images[rows], noise, timesteps)
        return squared_error(denoiser(noisy, timesteps, condition), noise)
