"""Deterministic sampling with DPM-Solver++ 2M (arXiv 2211.01095, algorithm 2) by diffusers' scheduler.

All randomness is in the noise that the caller hands over: equal noise gives equal images, which pairs models with each
other. A denoising after an injection draws nothing, so that the injected noise is never used twice. The predicted image
is kept in range on the way where the pipeline's scheduler has ``thresholding`` on. ``clip_sample`` alone does not clip:
on the embedded digits, untouched and unlearned, that changes FID by less than its error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from diffusion.denoiser import Denoiser
from diffusion.schedule import NoiseSchedule


@torch.no_grad()
def generate(
    denoiser: Denoiser,
    noise: Tensor,
    *,
    num_steps: int,
    batch_size: int = 128,
    condition: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Images or latents (N, C, H, W) from standard normal ``noise`` of that shape, ``num_steps`` network calls a row.

    Not clipped: what is in pixel space may leave [-1, 1] by a little.
    """
    start = denoiser.schedule.num_timesteps - 1
    return _denoise(denoiser, noise, _timesteps(start, num_steps), batch_size, condition)


@torch.no_grad()
def inject_and_denoise(
    denoiser: Denoiser,
    images: Tensor,
    noise: Tensor,
    *,
    timestep: int,
    num_steps: int,
    batch_size: int = 128,
    condition: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """``images`` or latents (N, C, H, W), noised to ``timestep`` with ``noise``, then denoised; not clipped.

    What comes back near the clean image is what the model restores from its memory: the injection test of SSCD.

    Raises:
        ValueError: if timestep is not inside 1 … T-1.
    """
    if not 0 < timestep < denoiser.schedule.num_timesteps:
        raise ValueError(
            f"0 < timestep < {denoiser.schedule.num_timesteps} must hold, but got timestep={timestep}; "
            "choose injection_timestep inside the model's schedule"
        )
    noisy = denoiser.schedule.add_noise(images, noise, torch.full((len(images),), timestep, device=images.device))
    return _denoise(denoiser, noisy, _timesteps(timestep, num_steps), batch_size, condition)


def _timesteps(start: int, num_steps: int) -> list[int]:
    """``num_steps`` integer timesteps from ``start`` down, evenly spaced, the step to t = 0 included in the last."""
    if not 1 <= num_steps <= start + 1:
        raise ValueError(f"1 <= num_steps <= {start + 1} must hold, but got num_steps={num_steps}")
    return [int(t) for t in np.linspace(start, 0, num_steps + 1).round()[:-1]]


def _scheduler(schedule: NoiseSchedule, timesteps: list[int]) -> DPMSolverMultistepScheduler:
    alpha_bar = schedule.alphas_cumprod.cpu().numpy()
    betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=schedule.num_timesteps,
        trained_betas=betas,
        algorithm_type="dpmsolver++",
        solver_order=2,
        thresholding=bool(schedule.thresholding),
        **schedule.thresholding,
    )
    scheduler.set_timesteps(timesteps=timesteps)
    return scheduler


def _denoise(
    denoiser: Denoiser, noisy: Tensor, timesteps: list[int], batch_size: int, condition: Mapping[str, Tensor] | None
) -> Tensor:
    scheduler = _scheduler(denoiser.schedule, timesteps)
    done = []
    for first in range(0, len(noisy), batch_size):
        rows = slice(first, first + batch_size)
        x = noisy[rows]
        row_condition = {name: value[rows] for name, value in (condition or {}).items()}
        scheduler.set_timesteps(timesteps=timesteps)
        for t in timesteps:
            epsilon = denoiser(x, torch.full((len(x),), t, device=x.device), row_condition)
            x = scheduler.step(epsilon, t, x).prev_sample
        done.append(x)
    return torch.cat(done) if done else noisy.clone()
