"""Random alterations of batches of square images (B, C, H, H) in [-1, 1], each row with its own draw."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """(count, 1, 1, 1) draws from U[low, high)."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def affine(images: Tensor, degrees: float, scale: float, shift: float, generator: torch.Generator) -> Tensor:
    """Rotate by up to +-degrees, scale by up to exp(+-scale), shift by up to +-shift pixels; black outside."""
    count, extent = len(images), images.shape[-1]
    angle, log_scale, dx, dy = (
        uniform(-bound, bound, count, generator).flatten()
        for bound in (math.radians(degrees), scale, shift * 2 / extent, shift * 2 / extent)
    )
    cos, sin = torch.cos(angle) * torch.exp(log_scale), torch.sin(angle) * torch.exp(log_scale)
    matrix = torch.stack((torch.stack((cos, -sin, dx), 1), torch.stack((sin, cos, dy), 1)), 1)
    grid = torch.nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images + 1.0, grid, align_corners=False) - 1.0


def blur(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Mix with the 3x3 binomial blur of the image, by a weight from U[0, strength)."""
    return torch.lerp(images, smooth(images, 1), uniform(0.0, strength, len(images), generator))


def smooth(images: Tensor, passes: int) -> Tensor:
    """The 3x3 binomial blur of each channel, `passes` times."""
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (kernel[:, None] * kernel[None, :] / 16.0).expand(images.shape[1], 1, 3, 3)
    for _ in range(passes):
        padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
        images = torch.nn.functional.conv2d(padded, kernel, groups=images.shape[1])
    return images


def contrast(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Multiply the brightness above black by exp(U[-strength, strength)), then shift it by up to +-strength / 4."""
    count = len(images)
    gain = torch.exp(uniform(-strength, strength, count, generator))
    shift = uniform(-strength, strength, count, generator) / 4.0
    return ((images + 1.0) * gain - 1.0 + shift).clamp(-1.0, 1.0)


def noise(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise with a standard deviation from U[0, strength)."""
    level = uniform(0.0, strength, len(images), generator)
    return images + level * torch.randn(images.shape, generator=generator)


def erase(images: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Paint a rectangle of up to `size` pixels a side in a random grey."""
    count, extent = len(images), images.shape[-1]
    width, height = uniform(0.0, size, count, generator), uniform(0.0, size, count, generator)
    left, top = uniform(0.0, extent, count, generator), uniform(0.0, extent, count, generator)
    places = torch.arange(float(extent))
    x, y = places[None, None, None, :], places[None, None, :, None]
    inside = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
    return torch.where(inside, uniform(-1.0, 1.0, count, generator), images)


def overlay(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Mix with another image of the batch, by a weight from U[0, strength): the first image stays the main one."""
    others = images[torch.randperm(len(images), generator=generator)]
    return torch.lerp(images, others, uniform(0.0, strength, len(images), generator))


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Swap left and right with a chance of one half."""
    return torch.where(uniform(0.0, 1.0, len(images), generator) < 0.5, images.flip(-1), images)


def copy_edit(images: Tensor, generator: torch.Generator) -> Tensor:
    """The alterations that a copy may have undergone and still be a copy (the role of SSCD's strong augmentations)."""
    images = overlay(images, 0.3, generator)
    images = affine(images, degrees=15.0, scale=0.15, shift=3.0, generator=generator)
    images = blur(images, 1.0, generator)
    images = contrast(images, 0.4, generator)
    images = erase(images, 10.0, generator)
    return noise(images, 0.3, generator)
