"""SISS: Subtracted Importance Sampled Scores (arXiv 2503.01034, equations 5-8).

One row m of the defensive mixture q_lambda = (1 - lambda) q(x_t | x) + lambda q(x_t | a) serves both terms, each with
its importance weight, so that one forward pass is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from diffusion.schedule import NoiseSchedule
from trainable.arrangement import by_terms
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


@dataclass(frozen=True)
class MixtureRows:
    """Rows drawn from the mixture, with both regression targets and importance weights; images (B, C, H, W)."""

    noisy: Tensor
    retain_target: Tensor
    forget_target: Tensor
    retain_weight: Tensor
    forget_weight: Tensor


def draw_mixture(
    schedule: NoiseSchedule, batch: ForgetRetainBatch, lambd: float, generator: torch.Generator | None
) -> MixtureRows:
    """m = a_t with probability ``lambd``, else x_t, and what both terms need of it.

    With r = gamma (x - a) / sigma, all of it follows without subtracting large numbers:
    (m - gamma x)/sigma = eps on x-rows, eps - r on a-rows; (m - gamma a)/sigma = eps + r on x-rows, eps on a-rows;
    d = -(‖r‖²/2 + ⟨r, eps⟩) on x-rows, ‖r‖²/2 - ⟨r, eps⟩ on a-rows.
    """
    from_forget = from_forget_rows(batch, lambd, generator)
    mask = from_forget.to(batch.noise.device).view(-1, *(1,) * (batch.noise.ndim - 1))
    gamma, sigma = schedule.coefficients(batch.timesteps, batch.noise)
    shift = gamma * (batch.retain - batch.forget) / sigma
    noise = batch.noise
    images = torch.where(mask, batch.forget, batch.retain)
    half, inner = shift.square().flatten(1).sum(1) / 2, (shift * noise).flatten(1).sum(1)
    log_ratio = torch.where(from_forget.to(noise.device), half - inner, -half - inner)
    retain_weight, forget_weight = importance_weights(log_ratio, lambd)
    return MixtureRows(
        noisy=gamma * images + sigma * noise,
        retain_target=torch.where(mask, noise - shift, noise),
        forget_target=torch.where(mask, noise, noise + shift),
        retain_weight=retain_weight,
        forget_weight=forget_weight,
    )


def from_forget_rows(batch: ForgetRetainBatch, lambd: float, generator: torch.Generator | None) -> Tensor:
    """(B,) bool, True with probability ``lambd``: those that the batch brings, else drawn where its noise is."""
    if batch.from_forget is not None:
        return batch.from_forget
    return torch.rand(len(batch), generator=generator, device=batch.noise.device) < lambd


def importance_weights(log_ratio: Tensor, lambd: float) -> tuple[Tensor, Tensor]:
    """w_x = q(m|x)/q_lambda(m) and w_a = q(m|a)/q_lambda(m) for d = log q(m|a) - log q(m|x), shape (B,).

    Equations 7 and 8 in the log domain: nothing overflows, and lambd = 0 and 1 come out as their limits.
    """
    log_retain = torch.as_tensor(math.log1p(-lambd) if lambd < 1 else -math.inf).to(log_ratio)
    log_forget = torch.as_tensor(math.log(lambd) if lambd > 0 else -math.inf).to(log_ratio)
    retain = -torch.logaddexp(log_retain, log_forget + log_ratio)
    forget = -torch.logaddexp(log_retain - log_ratio, log_forget)
    return retain.exp(), forget.exp()


class SISS(Method):
    """g_x - (scaling_norm / ‖g_a‖) g_a over rows of the mixture.

    Args:
        lambd: probability that a row is a noised forget image, in [0, 1].
        scaling_norm: the norm that the forget gradient is set to, up as well as down, > 0.
    """

    name: ClassVar[str] = "siss"
    cost: ClassVar[tuple[int, int]] = (1, 2)

    def __init__(self, lambd: float, scaling_norm: float) -> None:
        require(0 <= lambd <= 1, "0 <= lambd <= 1", lambd=lambd)
        require(scaling_norm > 0, "scaling_norm > 0", scaling_norm=scaling_norm)
        self.lambd = lambd
        self.scaling_norm = scaling_norm

    def draw(self, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> ForgetRetainBatch:
        return replace(batch, from_forget=from_forget_rows(batch, self.lambd, generator))

    def arrange(self, schedule: NoiseSchedule, batches: Sequence[ForgetRetainBatch]) -> Sequence[ForgetRetainBatch]:
        """Rows by the terms that they have weight in, which needs no network.

        Far from both images, at small t, the weight of the image that a row was not drawn from is 0 in its dtype: for
        float32 where \|d\| > 103. Nothing else is left out, so that the gradient is the same up to rounding.
        """
        mixtures = [draw_mixture(schedule, batch, self.lambd, None) for batch in batches]
        return by_terms(batches, [(rows.retain_weight, rows.forget_weight) for rows in mixtures])

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        rows = draw_mixture(denoiser.schedule, batch, self.lambd, generator)
        prediction = denoiser(rows.noisy, batch.timesteps, batch.condition)

        def weighted(term: str, weight: Tensor, target: Tensor) -> Tensor | None:
            return weight * squared_error(prediction, target) if term in batch.terms else None

        return Losses(
            retain=weighted("retain", rows.retain_weight, rows.retain_target),
            forget=weighted("forget", rows.forget_weight, rows.forget_target),
        )

    def combine(self, geometry: GradientGeometry) -> Combination:
        return subtract_scaled(geometry, self.scaling_norm)


def subtract_scaled(geometry: GradientGeometry, scaling_norm: float) -> Combination:
    """g_x - (scaling_norm / ‖g_a‖) g_a; g_x alone where ‖g_a‖ = 0 (arXiv 2503.01034, section 4.3)."""
    if geometry.forget_norm == 0:
        return RETAIN_ONLY
    return Combination(retain=1.0, forget=-scaling_norm / geometry.forget_norm)
