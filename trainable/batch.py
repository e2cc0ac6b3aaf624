"""What one micro-batch of an unlearning step consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor


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
    """

    retain: Tensor
    forget: Tensor
    noise: Tensor
    timesteps: Tensor
    from_forget: Tensor | None = None
    noise_target: Tensor | None = None
    neighbours: Tensor | None = None
    condition: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.timesteps)

    def split(self, rows: int) -> list[ForgetRetainBatch]:
        """The batch in parts of at most ``rows`` rows, in order; itself where it has no more."""
        if rows >= len(self):
            return [self]
        return [self._part(slice(first, first + rows)) for first in range(0, len(self), rows)]

    def _part(self, rows: slice) -> ForgetRetainBatch:
        parts: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                parts[name] = value[rows]
            elif isinstance(value, Mapping):
                parts[name] = {key: tensor[rows] for key, tensor in value.items()}
        return replace(self, **parts)
