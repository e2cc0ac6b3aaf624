"""How far the likelihood's fixed grid is off, and what it costs against an adaptive solver.

The reference is the same rule on a grid so fine that halving it changes nothing that is printed. torchdiffeq's dopri5
with its own step control solves the same equation here from its definition, which checks the reference too.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchdiffeq import odeint

from benchmarks.embedded import Embedded, load_embedded, one_thread
from benchmarks.public_siss import PublicLikelihood, published_probes
from benchmarks.table import Result
from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from metrics.likelihood import DATA_BITS, Likelihood, negative_log_likelihood, rademacher

EVALUATIONS = (30, 36, 40, 50, 60, 100)
_TIGHT = 1009
_TOLERANCE = 1e-5
#: Bits by which values of the two definitions may differ: conventions such as the path's ends move them by 0.15.
_CONVENTIONS = 0.2


def run(
    evaluations: Sequence[int] = EVALUATIONS,
    tight: int = _TIGHT,
    num_images: int = 2,
    num_probes: int = 2,
    tolerance: float = _TOLERANCE,
    embedded: Embedded | None = None,
) -> Result:
    """Error and cost of each number of evaluations, all with the same probes."""
    embedded = embedded or load_embedded()
    images = torch.cat([embedded.forget, embedded.retain[:: len(embedded.retain) // num_images]])[:num_images]
    probes = rademacher((num_probes, *images.shape), stream(0, "benchmark probes"), images)
    denoiser = embedded.denoiser
    with one_thread():
        reference = _solve(denoiser, images, probes, tight)[0].bits_per_dim
        adaptive = AdaptiveLikelihood(denoiser, probes.flatten(0, 1), tolerance)
        began = time.perf_counter()
        exact = adaptive(images.expand(probes.shape).flatten(0, 1)).view(num_probes, -1).mean(0)
        adaptive_seconds = time.perf_counter() - began
        rows = [_row(denoiser, images, probes, count, reference, adaptive_seconds) for count in evaluations]
    off = (exact - reference).abs()
    rows.append((f"dopri5 at {tolerance:g}: {adaptive.num_evaluations}", *_figures(off), "–", "1.00"))
    return Result(
        f"Likelihood on a fixed grid, {num_images} images, {num_probes} probes, {embedded.origin}",
        ("evaluations", "mean error", "largest error", "own estimate", "cost / dopri5"),
        rows,
        f"Errors in bits/dim against {tight} evaluations with the same probes.",
    )


def run_published(clone: Path, pairs: int = 7, num_evaluations: int = 36, embedded: Embedded | None = None) -> Result:
    """Seconds of the published likelihood over ours, for the forget image with the same probe, in pairs.

    Raises:
        NoCloneError: there is no clone at that path.
        ArithmeticError: the two values are further apart than their conventions are.
    """
    embedded = embedded or load_embedded()
    denoiser, images, seed = embedded.denoiser, embedded.forget, 0
    published, probes = PublicLikelihood(clone), published_probes(images, seed)
    ratios = []
    with one_thread():
        tight = _solve(denoiser, images, probes, _TIGHT)[0].bits_per_dim
        for _ in range(pairs):
            began = time.perf_counter()
            value, count = published(denoiser.network, images, seed)
            seconds = time.perf_counter() - began
            solved, ours = _solve(denoiser, images, probes, num_evaluations)
            ratios.append(seconds / ours)
    apart = abs(float(value) - float(tight))
    if not apart < _CONVENTIONS:
        raise ArithmeticError(f"the published value must be within {_CONVENTIONS} bits, but is {apart:.3f} off")
    figures = (statistics.median(ratios), min(ratios), max(ratios))
    return Result(
        f"Published likelihood over ours, the forget image, one probe, {embedded.origin}, one core, {pairs} pairs",
        ("evaluations, published", "ours", "our error", "apart", "seconds, median", "lowest", "highest"),
        [(str(count), str(num_evaluations), f"{float((solved.bits_per_dim - tight).abs()):.4f}", f"{apart:.3f}",
          *(f"{figure:.1f}" for figure in figures))],
        f"Errors in bits/dim against {_TIGHT} evaluations with the same probe. Apart: the two definitions differ in "
        "the ends of the path and in how sigma goes between timesteps.",
    )  # fmt: skip


def _row(
    denoiser: Denoiser, images: Tensor, probes: Tensor, count: int, reference: Tensor, adaptive_seconds: float
) -> tuple[str, ...]:
    solved, seconds = _solve(denoiser, images, probes, count)
    figures = _figures((solved.bits_per_dim - reference).abs())
    return (str(count), *figures, f"{float(solved.error_estimate.mean()):.4f}", f"{seconds / adaptive_seconds:.2f}")


def _figures(off: Tensor) -> tuple[str, str]:
    return f"{float(off.mean()):.4f}", f"{float(off.max()):.4f}"


def _solve(denoiser: Denoiser, images: Tensor, probes: Tensor, count: int) -> tuple[Likelihood, float]:
    began = time.perf_counter()
    solved = negative_log_likelihood(denoiser, images, probes=probes, num_evaluations=count)
    return solved, time.perf_counter() - began


class AdaptiveLikelihood:
    """The likelihood by dopri5, written from the equations of ``metrics.likelihood`` and sharing no code with it.

    Args:
        denoiser: the model.
        probes: (rows, C, H, W) of ±1, one for each row that is solved.
        tolerance: relative and absolute, of a step.
    """

    def __init__(self, denoiser: Denoiser, probes: Tensor, tolerance: float) -> None:
        self._denoiser, self._probes, self._tolerance = denoiser, probes, tolerance
        alpha_bar = denoiser.schedule.alphas_cumprod.cpu()
        self._gammas = alpha_bar.sqrt()
        self._log_rho = ((1 - alpha_bar) / alpha_bar).log() / 2
        self.num_evaluations = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Bits per dimension (rows,) of ``images`` (rows, C, H, W)."""
        self.num_evaluations = 0
        start, end = self._gammas[0], self._gammas[-1]
        state = (images.double() / start, torch.zeros(len(images), dtype=torch.float64))
        span = torch.stack([self._log_rho[0], self._log_rho[-1]])
        network = self._denoiser.network
        training = network.training
        network.eval()
        y, trace = odeint(self._slope, state, span, rtol=self._tolerance, atol=self._tolerance, method="dopri5")
        network.train(training)
        final, dimensions = (end * y[-1]).flatten(1), images[0].numel()
        normal = -final.square().sum(1) / 2 - dimensions / 2 * math.log(2 * math.pi)
        density = normal + dimensions * (end / start).log() + trace[-1]
        bits: Tensor = -density / (dimensions * math.log(2)) + DATA_BITS
        return bits

    def _slope(self, s: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """dy/ds = rho eps and d log p/ds = sigma tr(∂eps/∂x) at s = log rho."""
        self.num_evaluations += 1
        rho = s.exp()
        gamma = 1 / (1 + rho**2).sqrt()
        with torch.enable_grad():
            x = (gamma * state[0]).to(self._probes.dtype).requires_grad_(True)
            timestep = self._timestep(float(s))
            times = torch.full((len(x),), timestep, dtype=x.dtype)
            output = self._denoiser.predict(x, times)
            epsilon = self._denoiser.to_epsilon(output, x, gamma.to(x.dtype), (rho * gamma).to(x.dtype))
            (product,) = torch.autograd.grad(epsilon, x, self._probes)
        trace = (product * self._probes).double().flatten(1).sum(1)
        return rho * epsilon.detach().double(), rho * gamma * trace

    def _timestep(self, s: float) -> float:
        """Linear in log rho between the integer timesteps."""
        grid = self._log_rho
        upper = min(max(int((grid < s).sum()), 1), len(grid) - 1)
        share = (s - float(grid[upper - 1])) / float(grid[upper] - grid[upper - 1])
        return min(max(upper - 1 + share, 0.0), len(grid) - 1.0)
