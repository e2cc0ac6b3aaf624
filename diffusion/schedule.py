"""The noise schedule: x_t = gamma_t x + sigma_t eps, gamma_t = sqrt(alpha_bar_t), sigma_t = sqrt(1 - alpha_bar_t).

Source: DDPM (arXiv 2006.11239), equation 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor


class NoiseSchedule:
    """A variance-preserving schedule on the timesteps 0 … T-1.

    Args:
        alphas_cumprod: alpha_bar_t, shape (T,), strictly decreasing, inside (0, 1).
        thresholding: settings of dynamic thresholding (arXiv 2205.11487, section 2.3), by which samplers keep predicted
            images in range: ``dynamic_thresholding_ratio`` and ``sample_max_value``, as diffusers has them; empty where
            the model is sampled without.

    Raises:
        ValueError: if alphas_cumprod is not one-dimensional, leaves (0, 1) or does not decrease strictly.
    """

    def __init__(self, alphas_cumprod: Tensor, thresholding: Mapping[str, float] = MappingProxyType({})) -> None:
        values = torch.as_tensor(alphas_cumprod).detach().to("cpu", torch.float64)
        if values.ndim != 1 or len(values) < 2:
            raise ValueError(
                f"alphas_cumprod must have shape (T,) with T >= 2, but got {tuple(values.shape)}; "
                "pass scheduler.alphas_cumprod"
            )
        if not bool(((values > 0) & (values < 1)).all()):
            raise ValueError(
                "alphas_cumprod must lie in (0, 1), "
                f"but got values from {values.min():.6g} to {values.max():.6g}; rescale the schedule"
            )
        if not bool((values[1:] < values[:-1]).all()):
            raise ValueError(
                "alphas_cumprod must decrease strictly, "
                f"but it does not at timestep {int((values[1:] >= values[:-1]).nonzero()[0]) + 1}; check the scheduler"
            )
        self.alphas_cumprod = values
        self.thresholding = dict(thresholding)

    @classmethod
    def from_scheduler(cls, scheduler: Any) -> NoiseSchedule:
        """The schedule of a diffusers scheduler, with its thresholding if it has that switched on."""
        config = getattr(scheduler, "config", {})
        names = ("dynamic_thresholding_ratio", "sample_max_value")
        return cls(scheduler.alphas_cumprod, {name: config[name] for name in names if config.get("thresholding")})

    @property
    def num_timesteps(self) -> int:
        """T, the number of training timesteps."""
        return len(self.alphas_cumprod)

    def gamma(self, timesteps: Tensor) -> Tensor:
        """sqrt(alpha_bar_t), float64, shape and device of ``timesteps`` (int64, 0 <= t < T)."""
        return self._alpha_bar(timesteps).sqrt()

    def sigma(self, timesteps: Tensor) -> Tensor:
        """sqrt(1 - alpha_bar_t), float64, shape and device of ``timesteps`` (int64, 0 <= t < T)."""
        return (1 - self._alpha_bar(timesteps)).sqrt()

    def coefficients(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """(gamma_t, sigma_t) in the dtype of ``like`` (B, …), shaped (B, 1, …) to be multiplied with it."""
        shape = (-1,) + (1,) * (like.ndim - 1)
        gamma = self.gamma(timesteps).to(like.device, like.dtype).view(shape)
        return gamma, self.sigma(timesteps).to(like.device, like.dtype).view(shape)

    def add_noise(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """gamma_t x + sigma_t eps for images and noise (B, C, H, W), timesteps (B,)."""
        gamma, sigma = self.coefficients(timesteps, images)
        return gamma * images + sigma * noise

    def _alpha_bar(self, timesteps: Tensor) -> Tensor:
        if self.alphas_cumprod.device != timesteps.device:
            # A schedule follows the device it is used on: one copy, no transfer per step.
            self.alphas_cumprod = self.alphas_cumprod.to(timesteps.device)
        return self.alphas_cumprod[timesteps]
