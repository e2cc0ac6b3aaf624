"""Relabelling (amnesiac unlearning, arXiv 2010.10981): the forget image is taught another image's answer."""

from __future__ import annotations

from typing import ClassVar

import torch

from diffusion.denoiser import Denoiser
from search_spaces import MethodSpace, Parameter
from trainable.batch import ForgetRetainBatch
from trainable.methods.method import Combination, GradientGeometry, Losses, Method, require, squared_error

WEIGHT = Parameter("weight", low=0.1, high=10.0, log=True, scale=None, why="At 1 both terms weigh the same.")


class Relabel(Method):
    """g_x + weight g_a; the forget term denoises a_t = gamma a + sigma eps to the retain image x of its row.

    For the answer x the noise would be (a_t − gamma x)/sigma. The loss is ‖sigma ε(a_t) − (a_t − gamma x)‖²: its factor
    sigma² keeps 1/sigma out of it, which has no bound as t falls to 0.

    Args:
        weight: of the forget gradient, > 0.
    """

    name: ClassVar[str] = "relabel"
    cost: ClassVar[tuple[int, int]] = (2, 2)
    space: ClassVar[MethodSpace] = MethodSpace("relabel", parameters=(WEIGHT,), published=({"weight": 1.0},))

    def __init__(self, weight: float) -> None:
        require(weight > 0, "weight > 0", weight=weight)
        self.weight = weight

    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        gamma, sigma = denoiser.schedule.coefficients(batch.timesteps, batch.retain)
        noisy_retain = gamma * batch.retain + sigma * batch.noise
        noisy_forget = gamma * batch.forget + sigma * batch.noise
        retain = denoiser(noisy_retain, batch.timesteps, batch.condition)
        forget = denoiser(noisy_forget, batch.timesteps, batch.condition)
        return Losses(
            retain=squared_error(retain, batch.noise),
            forget=squared_error(sigma * forget, noisy_forget - gamma * batch.retain),
        )

    def combine(self, geometry: GradientGeometry) -> Combination:
        return Combination(retain=1.0, forget=self.weight, degenerate=geometry.forget_norm == 0)
