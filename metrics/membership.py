"""Denoising errors of forget and retain images at fixed timesteps under equal noises: membership_loss compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser

#: Where the errors are taken, as fractions of the schedule's length: t = 100, 250, 500, 750 of 1000.
MEMBERSHIP_TIMES = (0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class MembershipErrors:
    """Squared errors of the predicted noise, averaged over pixels, at ``MEMBERSHIP_TIMES``.

    Noise j at a timestep is given to every forget image and to one retain image, number j modulo R: a retain image more
    costs nothing, and both sides see the same noises.

    Attributes:
        forget: (F, T, J): image, timestep, noise.
        retain: (T, J).
    """

    forget: Tensor
    retain: Tensor


def membership_errors(
    denoiser: Denoiser,
    forget: Tensor,
    retain: Tensor,
    *,
    noise: Callable[[int, int], Tensor],
    num_noises: int,
    batch_size: int,
) -> MembershipErrors:
    """Errors of images (F, C, H, W) and (R, C, H, W), R >= 1.

    Args:
        noise: (index of the timestep, index of the noise) → (C, H, W).
        num_noises: J.
        batch_size: rows in a network call.
    """
    steps = _timesteps(denoiser.schedule.num_timesteps)
    rows = [(image, time, draw) for image in range(len(forget) + 1) for time in range(len(steps))
            for draw in range(num_noises)]  # fmt: skip
    errors = []
    for first in range(0, len(rows), batch_size):
        block = rows[first : first + batch_size]
        clean = [retain[draw % len(retain)] if image == len(forget) else forget[image] for image, _, draw in block]
        drawn = torch.stack([noise(time, draw) for _, time, draw in block])
        timesteps = torch.tensor([steps[time] for _, time, _ in block], device=drawn.device)
        noisy = denoiser.schedule.add_noise(torch.stack(clean).to(drawn.device), drawn, timesteps)
        errors.append((denoiser(noisy, timesteps) - drawn).square().flatten(1).mean(1).cpu())
    table = torch.cat(errors).view(len(forget) + 1, len(steps), num_noises)
    return MembershipErrors(forget=table[:-1], retain=table[-1])


def _timesteps(num_timesteps: int) -> list[int]:
    last = num_timesteps - 1
    return [min(max(round(part * num_timesteps), 1), last) for part in MEMBERSHIP_TIMES]
