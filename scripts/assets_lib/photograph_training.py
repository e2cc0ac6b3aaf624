"""Training of the embedded photograph features: which image, and what has happened to it.

There are too few images to learn what photographs look like, and no labels: each image is a class of its own (exemplar
networks, arXiv 1406.6909), whose members are alterations of it. A second head names the damage done to the image:
features that know only which image it is would hardly see a blurred or noisy sample, which a distance of samples must.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metrics.photograph_encoders import PhotographFeatures
from scripts.assets_lib.augmentations import affine, contrast, mirror, uniform
from scripts.assets_lib.encoder_training import optimise

DAMAGE_WEIGHT = 0.5


def train_features(
    photographs: Tensor, *, steps: int = 2500, batch_size: int = 128, seed: int = 0
) -> PhotographFeatures:
    """Features by cross-entropy of the image's class and of its damage.

    Args:
        photographs: (N, 3, 32, 32) in [-1, 1], a class each.
    """
    torch.manual_seed(seed)
    features = PhotographFeatures()
    heads = nn.ModuleList(
        nn.Linear(PhotographFeatures.num_features, size) for size in (len(photographs), len(DAMAGES) + 1)
    )

    def loss(_: Tensor, generator: torch.Generator) -> Tensor:
        labels = torch.randint(len(photographs), (batch_size,), generator=generator)
        images = mirror(photographs[labels], generator)
        images = contrast(affine(images, degrees=6.0, scale=0.06, shift=1.5, generator=generator), 0.2, generator)
        images, damages = damage(images, generator)
        found = features(images)
        named = nn.functional.cross_entropy(heads[0](found), labels, label_smoothing=0.05)
        return named + DAMAGE_WEIGHT * nn.functional.cross_entropy(heads[1](found), damages, label_smoothing=0.05)

    optimise(nn.ModuleList((features, heads)), loss, len(photographs), batch_size=batch_size, steps=steps, seed=seed)
    return features.eval()


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise with a standard deviation from U[0.05, 0.4)."""
    level = uniform(0.05, 0.4, len(images), generator)
    return images + level * torch.randn(images.shape, generator=generator)


def smeared(images: Tensor, generator: torch.Generator) -> Tensor:
    """The mean over 3x3 or 5x5 pixels, mixed in by a weight from U[0.5, 1)."""
    widely = uniform(0.0, 1.0, len(images), generator) < 0.5
    smooth = torch.where(widely, _box(images, 5), _box(images, 3))
    return torch.lerp(images, smooth, uniform(0.5, 1.0, len(images), generator))


def averaged(images: Tensor, generator: torch.Generator) -> Tensor:
    """The mean with another image of the batch, by a weight from U[0.3, 0.5)."""
    others = images[torch.randperm(len(images), generator=generator)]
    return torch.lerp(images, others, uniform(0.3, 0.5, len(images), generator))


def shuffled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Quarters in another order: all details of an image, and no such image."""
    half = images.shape[-1] // 2
    order = torch.stack([torch.randperm(4, generator=generator) for _ in images])
    order[(order == torch.arange(4)).all(dim=1)] = torch.tensor([3, 2, 1, 0])
    quarters = torch.stack([images[..., y : y + half, x : x + half] for y in (0, half) for x in (0, half)], dim=1)
    placed = quarters[torch.arange(len(images))[:, None], order]
    upper, lower = (torch.cat((placed[:, first], placed[:, first + 1]), dim=-1) for first in (0, 2))
    return torch.cat((upper, lower), dim=-2)


DAMAGES = (noisy, smeared, averaged, shuffled)


def damage(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the images damaged, each in one way; with the kind of damage (B,) int64, 0 for none."""
    kinds = torch.randint(-len(DAMAGES), len(DAMAGES), (len(images),), generator=generator).clamp(min=-1) + 1
    damaged = torch.stack([images, *(kind(images, generator) for kind in DAMAGES)])
    return damaged[kinds, torch.arange(len(images))], kinds


def _box(images: Tensor, width: int) -> Tensor:
    padded = nn.functional.pad(images, (width // 2,) * 4, mode="replicate")
    return nn.functional.avg_pool2d(padded, width, stride=1)
