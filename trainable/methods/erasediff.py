"""EraseDiff (arXiv 2401.05779), first-order, as compared in arXiv 2503.01034."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from trainable.batch import ForgetRetainBatch
from trainable.methods.method import (
    RETAIN_ONLY,
    Combination,
    GradientGeometry,
    Losses,
    Method,
    require,
    squared_error,
)


class EraseDiff(Method):
    """g_x + max(eta - ⟨g_x, g_a⟩/‖g_a‖², 0) g_a; the forget term pulls eps(a_t) towards uniform noise.

    Args:
        eta: the least share of the forget gradient, > 0.
    """

    name: ClassVar[str] = "erasediff"
    cost: ClassVar[tuple[int, int]] = (2, 2)

    def __init__(self, eta: float) -> None:
        require(eta > 0, "eta > 0", eta=eta)
        self.eta = eta

    def draw(self, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> ForgetRetainBatch:
        return replace(batch, noise_target=noise_target(batch, generator))

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        target = noise_target(batch, generator)
        add_noise = denoiser.schedule.add_noise
        retain = denoiser(add_noise(batch.retain, batch.noise, batch.timesteps), batch.timesteps, batch.condition)
        forget = denoiser(add_noise(batch.forget, batch.noise, batch.timesteps), batch.timesteps, batch.condition)
        return Losses(squared_error(retain, batch.noise), squared_error(forget, target))

    def combine(self, geometry: GradientGeometry) -> Combination:
        if geometry.forget_norm == 0:
            return RETAIN_ONLY
        return Combination(retain=1.0, forget=max(self.eta - geometry.inner / geometry.forget_norm**2, 0.0))


def noise_target(batch: ForgetRetainBatch, generator: torch.Generator | None) -> Tensor:
    """Uniform on [0, 1), (B, C, H, W): what the batch brings, else drawn where its images are."""
    if batch.noise_target is not None:
        return batch.noise_target
    forget = batch.forget
    return torch.rand(forget.shape, generator=generator, device=forget.device, dtype=forget.dtype)
