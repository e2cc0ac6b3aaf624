"""What one micro-batch of an unlearning step consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Final

import torch
from torch import Tensor

#: The two terms of an unlearning loss, in the order in which their gradients are taken.
TERMS: Final = ("retain", "forget")


@dataclass(frozen=True)
class ForgetRetainBatch:
    """Rows of retain and forget images that share noise and timesteps (arXiv 2503.01034, section 4).

    Attributes:
        retain: x, (B, C, H, W) in [-1, 1], or latents.
        forget: a, (B, C, H, W), same range.
        noise: eps, (B, C, H, W), standard normal, shared by both.
        timesteps: t, (B,) int64, shared by both.
        from_forget: (B,) bool, True where a mixture row is a_t; drawn by the method where None.
        noise_target: (B, C, H, W), EraseDiff's target uniform on [0, 1); drawn by the method where None.
        neighbours: (B, K, C, H, W), for methods that declare ``needs_neighbours``.
        condition: handed to the denoiser by name, for instance ``encoder_hidden_states``.
        terms: those that any row has weight in; the others are known to be 0 in all of them.
    """

    retain: Tensor
    forget: Tensor
    noise: Tensor
    timesteps: Tensor
    from_forget: Tensor | None = None
    noise_target: Tensor | None = None
    neighbours: Tensor | None = None
    condition: Mapping[str, Tensor] = field(default_factory=dict)
    terms: Sequence[str] = TERMS

    def __len__(self) -> int:
        return len(self.timesteps)

    def split(self, rows: int) -> list[ForgetRetainBatch]:
        """The batch in parts of at most ``rows`` rows, in order; itself where it has no more."""
        if rows >= len(self):
            return [self]
        return [_made(itemgetter(slice(first, first + rows)), self) for first in range(0, len(self), rows)]

    def take(self, rows: Tensor, terms: Sequence[str]) -> ForgetRetainBatch:
        """The rows of these indices, (N,) int64, which have no other than these terms."""
        return replace(_made(itemgetter(rows), self), terms=terms)

    @staticmethod
    def joined(batches: Sequence[ForgetRetainBatch]) -> ForgetRetainBatch:
        """One batch of all rows, in order; itself where it is alone. All must have the same parts and terms."""
        return batches[0] if len(batches) == 1 else _made(lambda *tensors: torch.cat(tensors), *batches)


def _made(make: Callable[..., Tensor], *batches: ForgetRetainBatch) -> ForgetRetainBatch:
    """A batch whose every tensor is made of the tensors that the batches have in its place."""
    parts: dict[str, Any] = {}
    for name, value in vars(batches[0]).items():
        every = [getattr(batch, name) for batch in batches]
        if isinstance(value, Tensor):
            parts[name] = make(*every)
        elif isinstance(value, Mapping):
            parts[name] = {key: make(*(each[key] for each in every)) for key in value}
    return replace(batches[0], **parts)
