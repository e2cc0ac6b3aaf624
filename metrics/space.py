"""What the network works on: the images themselves, or latents that a decoder turns into images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from diffusion.denoiser import Denoiser
from metrics.likelihood import DATA_BITS

#: A model under a prompt: what samples is handed the result.
View = Callable[[Denoiser], Denoiser]


def _as_it_is(denoiser: Denoiser) -> Denoiser:
    return denoiser


def clipped(points: Tensor) -> Tensor:
    """The decoder of a model in pixel space: values outside [-1, 1] are clipped."""
    return points.clamp(-1, 1)


@dataclass(frozen=True)
class ModelSpace:
    """The images of a subject as the network takes them, the way back, and the prompts it is judged under.

    Attributes:
        forget: (F, c, h, w).
        neighbours: (K, c, h, w).
        retain: (R, c, h, w).
        decode: what the network makes (B, c, h, w) to images (B, C, H, W) in [-1, 1].
        trained: the model under the condition that it is fine-tuned with: for likelihood, membership and injections.
        prompts: name → the model under a prompt, with guidance, of which samples are made; empty for a model that
            takes none. Under the first the forget image is looked for: what a prompt makes is then what the model
            remembers, and nothing is injected.
        data_bits: bits that a likelihood adds for the size of a quantisation step: 7 for pixels, 0 for latents.
    """

    forget: Tensor
    neighbours: Tensor
    retain: Tensor
    decode: Callable[[Tensor], Tensor] = clipped
    trained: View = _as_it_is
    prompts: Mapping[str, View] = field(default_factory=dict)
    data_bits: float = DATA_BITS
