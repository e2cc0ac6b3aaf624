"""A method is losses plus a gradient rule.

The rule sees three numbers only, the norms of the two gradients and their inner product, and answers with two weights:
every method known so far combines linearly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from diffusion.schedule import NoiseSchedule
from trainable.batch import ForgetRetainBatch


@dataclass(frozen=True)
class Losses:
    """Squared errors summed over pixels, shape (B,): 0 for a row without the term, None where no row has it."""

    retain: Tensor | None
    forget: Tensor | None


@dataclass(frozen=True)
class GradientGeometry:
    """‖g_x‖, ‖g_a‖ (global L2 over all parameters) and ⟨g_x, g_a⟩; 0 for a term that the method does not have."""

    retain_norm: float
    forget_norm: float
    inner: float


@dataclass(frozen=True)
class Combination:
    """The gradient ``step_size · (retain · g_x + forget · g_a)``.

    ``step_size`` is a factor on the learning rate: clipping and AdamW would cancel a factor on the gradient.
    ``degenerate`` marks a step in which the forget term had no gradient, so that nothing was unlearned.
    """

    retain: float
    forget: float
    step_size: float = 1.0
    degenerate: bool = False


#: What remains of a two-term method when ‖g_a‖ = 0: the retain gradient alone.
RETAIN_ONLY = Combination(retain=1.0, forget=0.0, degenerate=True)


class Method(ABC):
    """An unlearning method, built from its own hyper-parameters only."""

    name: ClassVar[str]
    needs_retain: ClassVar[bool] = True
    needs_forget: ClassVar[bool] = True
    #: whether ``losses`` reads ``ForgetRetainBatch.neighbours``, and how many retain images each forget image has there
    needs_neighbours: ClassVar[bool] = False
    num_neighbours: ClassVar[int] = 0
    #: network rows (forward, backward) for one row of a batch, at most
    cost: ClassVar[tuple[int, int]] = (1, 1)

    def draw(self, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> ForgetRetainBatch:
        """``batch`` with what it leaves undrawn and ``losses`` needs, so that ``losses`` draws nothing.

        Rows are drawn here, together, before a batch is split for lack of memory: what a step trains on does not depend
        on how much memory there is.
        """
        return batch

    def arrange(self, schedule: NoiseSchedule, batches: Sequence[ForgetRetainBatch]) -> Sequence[ForgetRetainBatch]:
        """The drawn batches of one optimiser step as ``losses`` shall see them: the same rows, differently grouped.

        A method whose rows do not all need both terms says here which do (``ForgetRetainBatch.terms``).
        """
        return batches

    @abstractmethod
    def losses(self, denoiser: Denoiser, batch: ForgetRetainBatch, generator: torch.Generator | None = None) -> Losses:
        """The loss terms of ``batch`` that its rows have; what it leaves undrawn is drawn from ``generator``."""

    @abstractmethod
    def combine(self, geometry: GradientGeometry) -> Combination:
        """The weights of the two accumulated gradients."""


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """‖prediction - target‖² summed over pixels, shape (B,).

    Summed, not averaged: the scale of losses, and of settings such as ``scaling_norm``, grows with resolution.
    """
    return (prediction - target).square().flatten(1).sum(1)


def require(rule: bool, text: str, **values: float) -> None:
    """Raise ``ValueError`` naming rule and values unless the rule holds."""
    if not rule:
        given = ", ".join(f"{name}={value}" for name, value in values.items())
        raise ValueError(f"{text} must hold, but got {given}")
