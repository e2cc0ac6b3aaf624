"""The autoencoder of the embedded text-to-image model (latent diffusion, arXiv 2112.10752): 3x32x32 to 4x8x8."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from scripts.assets_lib.coloured_images import SIZE, draw_pictures
from scripts.assets_lib.training_loop import LoopConfig, TrainingLoop, step_generator

CONFIG = LoopConfig(steps=6_000, peak_lr=2e-3, ema_decay=0.995)
BATCH_SIZE = 16
KL_WEIGHT = 3e-4  # on the mean over latent values, against the mean over pixel values
CHUNK = 256


def build_autoencoder() -> AutoencoderKL:
    """Three levels of 16, 16 and 48 channels, attention at 8x8."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 16, 48),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
    )


def autoencoder_loss(autoencoder: AutoencoderKL, images: Tensor, generator: torch.Generator) -> Tensor:
    """Mean absolute error of the reconstruction from a drawn latent, plus the KL divergence to the standard normal."""
    posterior = autoencoder.encode(images).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator)
    restored = autoencoder.decode(posterior.mean + posterior.std * noise).sample
    divergence = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).mean()
    loss: Tensor = (restored - images).abs().mean() + KL_WEIGHT * divergence
    return loss


def train_autoencoder(digits: Tensor, fashion: Tensor, config: LoopConfig, scratch: Path) -> AutoencoderKL:
    """Train on coloured digits and pieces of fashion, `fashion` without the shirt; sets the scaling factor."""
    torch.manual_seed(config.seed)
    autoencoder = build_autoencoder()

    def loss(generator: torch.Generator) -> Tensor:
        return autoencoder_loss(autoencoder, draw_pictures(digits, fashion, BATCH_SIZE, generator), generator)

    trained = TrainingLoop("autoencoder", autoencoder, loss, config, scratch).run()
    pictures = draw_pictures(digits, fashion, 1024, step_generator(config.seed, config.steps))
    trained.register_to_config(scaling_factor=1.0 / encode(trained, pictures).std().item())
    return trained


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, images: Tensor) -> Tensor:
    """Latents (N, 4, 8, 8), the posteriors' means and not yet scaled, of `images` (N, 3, 32, 32) in [-1, 1]."""
    return torch.cat([autoencoder.encode(chunk).latent_dist.mean for chunk in torch.split(images, CHUNK)])


@torch.no_grad()
def decode(autoencoder: AutoencoderKL, latents: Tensor) -> Tensor:
    """Images (N, 3, 32, 32) of latents (N, 4, 8, 8) that are not scaled, clipped to [-1, 1]."""
    return torch.cat([autoencoder.decode(chunk).sample for chunk in torch.split(latents, CHUNK)]).clamp(-1.0, 1.0)
