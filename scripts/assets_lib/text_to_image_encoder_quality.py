"""How well the text-to-image model's autoencoder, copy descriptor and CLIP do, on pictures of test splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from metrics.colour_encoders import ColourCopyDescriptor
from metrics.quality import ClipQuality
from scripts.assets_lib.augmentations import copy_edit
from scripts.assets_lib.autoencoder_training import decode, encode
from scripts.assets_lib.colour_descriptor_training import copy_auc
from scripts.assets_lib.coloured_images import grey, paint_all
from scripts.assets_lib.damage import PIXEL_DAMAGES, disturbed_latents
from scripts.assets_lib.estimate import Estimate


@dataclass(frozen=True)
class Restored:
    """Pictures through the autoencoder: root mean square error on the [0, 1] scale."""

    pictures: Estimate
    shirt: float


@dataclass(frozen=True)
class EncoderFigures:
    """The figures of all three; `unseen` pictures are painted of the test splits."""

    restored: Restored
    copy_auc: float
    copy_auc_shirts: float  # among grey T-shirts alone, the hard case
    edited_shirt: Estimate  # cosine of the shirt to edited copies of itself
    other_shirts: Estimate  # cosine of the shirt to other T-shirts
    clean_quality: Estimate  # CLIP-IQA
    restored_quality: Estimate
    damaged_quality: Mapping[str, Estimate]
    damage_auc: Mapping[str, float]  # chance of a clean picture's value being above a damaged one's


def pixelated(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blocks of 4x4 pixels: a damage that the CLIP was not trained on; draws nothing."""
    del generator
    return torch.nn.functional.avg_pool2d(images, 4).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


def auc(high: Tensor, low: Tensor) -> float:
    """Chance of a value of `high` being above one of `low`, ties by halves."""
    differences = high[:, None] - low[None, :]
    return ((differences > 0).double() + 0.5 * (differences == 0).double()).mean().item()


@torch.no_grad()
def measure_encoders(
    autoencoder: AutoencoderKL,
    descriptor: ColourCopyDescriptor,
    clip: ClipQuality,
    digits: Tensor,
    shirts: Tensor,
    shirt: Tensor,
) -> EncoderFigures:
    """All figures, on pictures painted of unseen `digits` (N, 1, 28, 28) and T-shirts `shirts` (M, 1, 28, 28)."""
    generator = torch.Generator().manual_seed(80)
    pictures, plain = paint_all(digits, shirts, generator), grey(shirts)
    latents = encode(autoencoder, pictures)
    restored = decode(autoencoder, latents)
    error = (restored - pictures).square().flatten(1).mean(1).sqrt() / 2.0
    shirt_error = (decode(autoencoder, encode(autoencoder, shirt)) - shirt).square().mean().sqrt() / 2.0
    scale = autoencoder.config.scaling_factor
    damaged = {name: damage(pictures, generator).clamp(-1, 1) for name, damage in PIXEL_DAMAGES.items()}
    damaged["disturbed latents"] = decode(autoencoder, disturbed_latents(latents * scale, generator) / scale)
    damaged["pixelated (not trained on)"] = pixelated(pictures, generator)
    clean = clip(pictures)
    values = {name: clip(images) for name, images in damaged.items()}
    values["all of these"] = torch.cat(list(values.values()))
    target = descriptor(shirt)[0]
    edited = torch.cat([copy_edit(torch.cat((shirt, plain[:63])), generator)[:1] for _ in range(64)])
    return EncoderFigures(
        restored=Restored(Estimate.of(error), shirt_error.item()),
        copy_auc=copy_auc(descriptor, pictures, generator),
        copy_auc_shirts=copy_auc(descriptor, plain, generator),
        edited_shirt=Estimate.of(descriptor(edited) @ target),
        other_shirts=Estimate.of(descriptor(plain) @ target),
        clean_quality=Estimate.of(clean),
        restored_quality=Estimate.of(clip(restored)),
        damaged_quality={name: Estimate.of(value) for name, value in values.items()},
        damage_auc={name: auc(clean, value) for name, value in values.items()},
    )
