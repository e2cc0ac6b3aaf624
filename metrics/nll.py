"""Negative log-likelihood of the forget images, in bits per dimension: up is forgotten.

The exact likelihood of the probability-flow ODE (Song et al., arXiv 2011.13456, section 4.3 and appendix D.2), its
trace by Hutchinson's estimator; ``metrics.likelihood`` holds the computation and its conventions.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from metrics.metric import Direction, Measurement, Metric

if TYPE_CHECKING:
    from metrics.evidence import Evidence


def mean_bits_per_dim(bits_per_dim: Tensor, stderr: Tensor, num_probes: int) -> Measurement:
    """The mean over images of bits per dimension (B,) with independent Hutchinson standard errors ``stderr`` (B,).

    The images are given and not drawn: their spread is no part of the standard error, sqrt(Σ stderr²) / B.
    """
    count = len(bits_per_dim)
    value = bits_per_dim.to(torch.float64).mean()
    error = stderr.to(torch.float64).square().sum().sqrt() / count
    return Measurement(float(value), float(error) if not math.isnan(value) else math.nan, count * num_probes)


def grid_error(evidence: Evidence) -> float:
    """How far the ODE's grid is off: the difference to a grid of twice as many evaluations, with the same probes.

    Returns:
        The largest over the forget images, in bits per dimension; NaN where a value is not finite. Unlike
        ``error_estimate`` it sees all that the coarser grid misses, for three times the price.
    """
    fidelity = evidence.fidelity
    finer = replace(fidelity, num_likelihood_evaluations=2 * fidelity.num_likelihood_evaluations)
    other = type(evidence)(evidence.denoiser, evidence.subject, finer, evidence.seed)
    off = other.forget_likelihood.bits_per_dim - evidence.forget_likelihood.bits_per_dim
    return float(off.abs().max())


class NegativeLogLikelihood(Metric):
    """Mean bits per dimension of the forget images; standard error over Hutchinson's probes.

    Not to be confused with the training loss, a weighted bound, nor with the error of the ODE's grid, which is
    ``evidence.forget_likelihood.error_estimate``. On latents it is the likelihood of the latent.
    """

    name: ClassVar[str] = "nll"
    direction: ClassVar[Direction] = "maximize"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    needs: ClassVar[tuple[str, ...]] = ("forget_likelihood",)
    cost: ClassVar[str] = (
        "num_likelihood_evaluations rows a forget image and probe, each with a vector-Jacobian product"
    )

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if the network's output is not finite; a NaN standard error for a single probe."""
        likelihood = evidence.forget_likelihood
        return mean_bits_per_dim(likelihood.bits_per_dim, likelihood.stderr, evidence.fidelity.num_probes)
