"""Numbers with what they are worth: standard errors and intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    mean: float
    stderr: float

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """Of independent values (N,), N >= 2."""
        return cls(values.mean().item(), values.std().item() / math.sqrt(len(values)))

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.stderr:.3f}"


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share, 95% at z = 1.96 (Wilson 1927); within [0, 1] also at no success."""
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features (N, D); the trace from the eigenvalues of C1 C2."""
    first, second = first.double(), second.double()
    product = torch.linalg.eigvals(first.T.cov() @ second.T.cov()).real.clamp(min=0.0)
    mean = (first.mean(0) - second.mean(0)).square().sum()
    return float(mean + first.T.cov().trace() + second.T.cov().trace() - 2.0 * product.sqrt().sum())
