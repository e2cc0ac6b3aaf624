"""Damage to pictures (B, 3, 32, 32) in [-1, 1], each row with its own draw: what "bad" means to the embedded CLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from scripts.assets_lib.augmentations import smooth, uniform

Damage = Callable[[Tensor, torch.Generator], Tensor]


def rectangle(images: Tensor, smallest: float, largest: float, generator: torch.Generator) -> Tensor:
    """Which pixels lie in a rectangle of `smallest` to `largest` pixels a side, (B, 1, H, W) bool."""
    count, height, width = len(images), images.shape[2], images.shape[3]
    wide, high = (uniform(smallest, largest, count, generator) for _ in range(2))
    left = uniform(0.0, 1.0, count, generator) * (width - wide)
    top = uniform(0.0, 1.0, count, generator) * (height - high)
    x, y = torch.arange(width)[None, None, None, :], torch.arange(height)[None, None, :, None]
    return (x >= left) & (x < left + wide) & (y >= top) & (y < top + high)


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise of 0.1 to 0.7."""
    level = uniform(0.1, 0.7, len(images), generator)
    return images + level * torch.randn(images.shape, generator=generator)


def blurry(images: Tensor, generator: torch.Generator) -> Tensor:
    """Between six and twelve passes of the binomial blur, by weight."""
    light = smooth(images, 6)
    return torch.lerp(light, smooth(light, 6), uniform(0.0, 1.0, len(images), generator))


def occluded(images: Tensor, generator: torch.Generator) -> Tensor:
    """A rectangle of 8 to 20 pixels a side, in one random colour."""
    colour = torch.rand(len(images), images.shape[1], 1, 1, generator=generator) * 2.0 - 1.0
    return torch.where(rectangle(images, 8.0, 20.0, generator), colour, images)


def blended(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mixed with another picture of the batch, which weighs 0.3 to 0.5."""
    return torch.lerp(images, images.roll(1, dims=0), uniform(0.3, 0.5, len(images), generator))


def blotched(images: Tensor, generator: torch.Generator) -> Tensor:
    """Smooth coloured clouds of 0.3 to 1.0 over the picture."""
    clouds = torch.randn(len(images), images.shape[1], 6, 6, generator=generator)
    clouds = torch.nn.functional.interpolate(clouds, images.shape[-2:], mode="bilinear", align_corners=False)
    return images + uniform(0.3, 1.0, len(images), generator) * clouds


PIXEL_DAMAGES: Mapping[str, Damage] = {
    "noisy": noisy,
    "blurry": blurry,
    "occluded": occluded,
    "blended": blended,
    "blotched": blotched,
}


def disturbed_latents(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Scaled latents (B, 4, 8, 8), damaged as a spoilt denoiser does: off by noise, too large or small, or cut short.

    Decoded, they give what over-unlearned models draw: washed out, garish or shapeless pictures.
    """
    kind = torch.randint(3, (len(latents), 1, 1, 1), generator=generator)
    noise = torch.randn(latents.shape, generator=generator)
    level = uniform(0.5, 1.5, len(latents), generator)
    gain = torch.exp(uniform(0.5, 1.2, len(latents), generator))
    grow = torch.rand(len(latents), 1, 1, 1, generator=generator) < 0.5
    scaled = torch.where(grow, latents * gain, latents / gain)
    halfway = torch.lerp(latents, noise, uniform(0.4, 0.9, len(latents), generator))
    return torch.where(kind == 0, latents + level * noise, torch.where(kind == 1, scaled, halfway))
