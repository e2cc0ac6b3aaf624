"""SISS's mixture without its importance weights: each row serves the one term that it was drawn for.

The ablation of importance sampling: rows of one batch are retain or forget rows by a coin of bias ``lambd``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from diffusion.schedule import NoiseSchedule
from trainable.arrangement import by_terms
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

    def arrange(self, schedule: NoiseSchedule, batches: Sequence[ForgetRetainBatch]) -> Sequence[ForgetRetainBatch]:
        """Rows by the one term that each was drawn for, so that no graph holds both."""
        return by_terms(batches, [(~forget, forget) for batch in batches for forget in (self._mask(batch, None),)])

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        forget = self._mask(batch, generator)
        images = torch.where(forget.view(-1, *(1,) * (batch.noise.ndim - 1)), batch.forget, batch.retain)
        noisy = denoiser.schedule.add_noise(images, batch.noise, batch.timesteps)
        errors = squared_error(denoiser(noisy, batch.timesteps, batch.condition), batch.noise)
        return Losses(
            retain=errors * ~forget / (1 - self.lambd) if "retain" in batch.terms else None,
            forget=errors * forget if "forget" in batch.terms else None,
        )

    def combine(self, geometry: GradientGeometry) -> Combination:
        return subtract_scaled(geometry, self.scaling_norm)

    def _mask(self, batch: ForgetRetainBatch, generator: torch.Generator | None) -> Tensor:
        """(B,) bool where the noise is: whether a row serves the forget term."""
        return from_forget_rows(batch, self.lambd, generator).to(batch.noise.device)
