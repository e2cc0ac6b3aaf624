"""Membership loss: is the forget image still predicted as well as the images that were kept? Up is forgotten.

The per-image loss of membership inference on diffusion models (Matsumoto et al., arXiv 2302.03262; Carlini et al.,
arXiv 2301.13188): members have lower denoising errors. A cheap proxy of the likelihood, which integrates such errors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from metrics.metric import Direction, Measurement, Metric

if TYPE_CHECKING:
    from metrics.evidence import Evidence


def error_ratio(forget: Tensor, retain: Tensor) -> Tensor:
    """mean over t of (mean over images and noises of forget errors at t) / (the same of retain errors at t).

    Args:
        forget: squared errors ‖ε(a_t) − eps‖² (F, T, J) of F images at T timesteps with J noises.
        retain: the same (T, J) of retain images, one a noise, with the same timesteps and noises.

    Returns:
        () float64 in [0, ∞). Errors near t = 0 are a thousand times those near t = 999: the ratio at each timestep
        gives every timestep the same say.
    """
    return _mean_ratio(forget.to(torch.float64).mean(0), retain.to(torch.float64))


def _mean_ratio(forget: Tensor, retain: Tensor) -> Tensor:
    return (forget.mean(-1) / retain.mean(-1)).mean(-1)


def jackknife_stderr(forget: Tensor, retain: Tensor) -> float:
    """Standard error of ``error_ratio`` over the noises, each left out in turn; NaN for one noise.

    A noise comes with its retain image: unlike those of other metrics, this error holds a spread between images too.
    """
    forget, retain = forget.to(torch.float64).mean(0), retain.to(torch.float64)
    count = forget.shape[-1]
    if count < 2:
        return math.nan
    others = ~torch.eye(count, dtype=torch.bool)
    ratios = torch.stack([_mean_ratio(forget[:, kept], retain[:, kept]) for kept in others])
    return float(((count - 1) * ratios.var(correction=0)).sqrt())


class MembershipLoss(Metric):
    """Denoising error of the forget images relative to that of retain images, at fixed timesteps with shared noise.

    Under 1 the forget image is better known than the images that were kept. A ratio and not a difference, since a
    destroyed model predicts everything badly: its ratio goes to 1, where its difference would look like forgetting.
    Not to be confused with the training loss, whose timesteps are random. The level depends on the images (a T-shirt is
    no digit): compare it with the untouched and the retrained model's.
    """

    name: ClassVar[str] = "membership_loss"
    direction: ClassVar[Direction] = "maximize"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    needs: ClassVar[tuple[str, ...]] = ("membership_errors",)
    cost: ClassVar[str] = (
        "num_membership_noises × 4 timesteps rows a forget image, and as many for the retain images together"
    )

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if the network's output is not finite; a NaN standard error for a single noise."""
        errors = evidence.membership_errors
        value = error_ratio(errors.forget, errors.retain)
        return Measurement(float(value), jackknife_stderr(errors.forget, errors.retain), errors.forget.numel())
