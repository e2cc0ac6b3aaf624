"""A denoiser seen under a fixed condition, with or without classifier-free guidance (arXiv 2207.12598).

What samples, injects or integrates needs no word of conditions: it is handed such a view.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser

Condition = Mapping[str, Tensor]


class ConditionedDenoiser(Denoiser):
    """``denoiser`` with the same condition for every row.

    Args:
        denoiser: what is looked at; it shares its network.
        condition: one row of each tensor that the network takes, (1, …).
    """

    def __init__(self, denoiser: Denoiser, condition: Condition) -> None:
        super().__init__(denoiser.network, denoiser.schedule, denoiser.prediction_type, denoiser.autocast)
        self.condition = condition

    def predict(self, noisy: Tensor, timesteps: Tensor, condition: Condition | None = None) -> Tensor:
        """The network's output under the fixed condition, and what else ``condition`` names."""
        return super().predict(noisy, timesteps, {**_rows(self.condition, noisy), **(condition or {})})


class GuidedDenoiser(Denoiser):
    """Classifier-free guidance: out_u + scale · (out_c − out_u), both from one call of twice the rows.

    The network's outputs are combined, in whatever type it predicts: epsilon, v and sample are affine in each other.

    Args:
        denoiser: what is looked at; it shares its network.
        condition: one row of the prompt's condition, (1, …).
        unconditional: one row of the empty prompt's.
        scale: 1 is no guidance, 0 the empty prompt.
    """

    def __init__(self, denoiser: Denoiser, condition: Condition, unconditional: Condition, scale: float) -> None:
        super().__init__(denoiser.network, denoiser.schedule, denoiser.prediction_type, denoiser.autocast)
        self.condition, self.unconditional, self.scale = condition, unconditional, scale

    def predict(self, noisy: Tensor, timesteps: Tensor, condition: Condition | None = None) -> Tensor:
        """The guided output; ``condition`` is what both halves get besides, row by row."""
        pairs = zip(_rows(self.unconditional, noisy).items(), _rows(self.condition, noisy).values(), strict=True)
        both = {name: torch.cat([empty, prompt]) for (name, empty), prompt in pairs}
        both |= {name: value.repeat(2, *(1,) * (value.ndim - 1)) for name, value in (condition or {}).items()}
        output = super().predict(noisy.repeat(2, 1, 1, 1), timesteps.repeat(2), both)
        empty, prompt = output.chunk(2)
        return empty + self.scale * (prompt - empty)


def _rows(condition: Condition, noisy: Tensor) -> dict[str, Tensor]:
    return {name: value.to(noisy.device).expand(len(noisy), *value.shape[1:]) for name, value in condition.items()}
