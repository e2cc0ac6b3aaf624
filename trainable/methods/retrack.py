"""ReTrack (arXiv 2509.13007, AISTATS 2026): noised forget images are denoised towards the nearest retain images."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from trainable.batch import ForgetRetainBatch
from trainable.methods.method import Combination, GradientGeometry, Losses, Method, require, squared_error


class ReTrack(Method):
    """lambd g_a + (1 - lambd) g_x, where g_a follows the importance-sampled retain loss at (a_t, t).

    At a_t the loss is Σ_k softmax_k(-‖v_k‖²/2) ‖eps(a_t) - v_k‖² with v_k = (a_t - gamma n_k) / sigma, the noise that
    would lead to a_t from the retain image n_k: the sum over all retain images, cut off after the K nearest, whose
    weights are the only ones that count.

    Args:
        lambd: weight of the forget term, in (0, 1). Not SISS's mixture weight.
    """

    name: ClassVar[str] = "retrack"
    needs_neighbours: ClassVar[bool] = True
    num_neighbours: ClassVar[int] = 10
    cost: ClassVar[tuple[int, int]] = (2, 2)

    def __init__(self, lambd: float) -> None:
        require(0 < lambd < 1, "0 < lambd < 1", lambd=lambd)
        self.lambd = lambd

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        if batch.neighbours is None:
            raise ValueError(
                "retrack needs the retain images nearest to each forget image, but the batch has none; "
                "give ForgetRetainBatch.neighbours of shape (B, K, C, H, W)"
            )
        add_noise = denoiser.schedule.add_noise
        retain = denoiser(add_noise(batch.retain, batch.noise, batch.timesteps), batch.timesteps, batch.condition)
        noisy = add_noise(batch.forget, batch.noise, batch.timesteps)
        prediction = denoiser(noisy, batch.timesteps, batch.condition)
        targets = noise_targets(denoiser, noisy, batch.neighbours, batch.timesteps)
        weights = torch.softmax(-targets.square().flatten(2).sum(2) / 2, dim=1)
        errors = (prediction[:, None] - targets).square().flatten(2).sum(2)
        return Losses(squared_error(retain, batch.noise), (weights * errors).sum(1))

    def combine(self, geometry: GradientGeometry) -> Combination:
        return Combination(retain=1 - self.lambd, forget=self.lambd, degenerate=geometry.forget_norm == 0)


def noise_targets(denoiser: Denoiser, noisy: Tensor, neighbours: Tensor, timesteps: Tensor) -> Tensor:
    """v_k = (a_t - gamma n_k) / sigma of a_t (B, C, H, W) and n (B, K, C, H, W), shape (B, K, C, H, W)."""
    gamma, sigma = denoiser.schedule.coefficients(timesteps, noisy)
    return (noisy[:, None] - gamma[:, None] * neighbours) / sigma[:, None]
