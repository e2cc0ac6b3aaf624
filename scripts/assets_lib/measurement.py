"""What the embedded models are worth: T-shirt rate, injection, likelihood, loss, digits as a classifier reads them.

Samples, injections and likelihoods are those of the studies; every figure has its own seed and uses the same noise for
both models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel
from torch import Tensor

from diffusion.denoiser import Denoiser, as_denoiser
from diffusion.sampling import generate, inject_and_denoise
from metrics.encoders import CopyDescriptor, DigitClassifier
from metrics.gaussian import GaussianStatistics
from metrics.likelihood import negative_log_likelihood
from metrics.regeneration_rate import REGENERATION_RADIUS, pixel_distances
from scripts.assets_lib.diffusion_training import build_scheduler
from scripts.assets_lib.estimate import Estimate

INJECTION_TIMESTEPS = (250, 400, 500, 600, 700, 800)
NUM_SAMPLING_STEPS = 20
NUM_DENOISING_STEPS = 10
NUM_DENOISINGS = 64
CHUNK = 128


@dataclass(frozen=True)
class Measured:
    """The figures of one model."""

    num_samples: int
    num_tshirts: int
    nearest: float  # L2 of the nearest sample to the T-shirt
    confidence: Estimate  # largest softmax of the digit classifier, T-shirts left out
    class_entropy: float  # bits, of the classes of the samples; ten equal classes: 3.32
    frechet: float  # squared Frechet distance in digit features to the training digits
    loss: Mapping[str, float]  # mean squared error of the predicted noise, "digits", "unseen", "tshirt"
    injection: Mapping[int, Estimate]  # cosine to the T-shirt after noising to t and denoising
    tshirt_nll: Estimate  # bits per dimension, over probes
    digits_nll: Estimate  # bits per dimension, over training digits
    unseen_nll: Estimate  # bits per dimension, over digits that were not trained on


def denoiser_of(unet: UNet2DModel) -> Denoiser:
    """The network on the schedule of the embedded models."""
    return as_denoiser(unet, build_scheduler().alphas_cumprod)


def sample(unet: UNet2DModel, count: int) -> Tensor:
    """Images (count, 1, 28, 28) in [-1, 1] from pure noise."""
    noise = torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(10))
    return generate(denoiser_of(unet), noise, num_steps=NUM_SAMPLING_STEPS).clamp(-1, 1)


def injection(unet: UNet2DModel, descriptor: CopyDescriptor, tshirt: Tensor, timestep: int) -> Estimate:
    """Cosine to the clean image, over noisings to `timestep` and deterministic denoisings of it."""
    noise = torch.randn(NUM_DENOISINGS, 1, 28, 28, generator=torch.Generator().manual_seed(20))
    restored = inject_and_denoise(
        denoiser_of(unet), tshirt.expand_as(noise), noise, timestep=timestep, num_steps=NUM_DENOISING_STEPS
    )
    return Estimate.of(descriptor(restored) @ descriptor(tshirt)[0])


@torch.no_grad()
def denoising_loss(unet: UNet2DModel, images: Tensor, *, count: int = 1024) -> float:
    """Mean squared error of the predicted noise at `count` evenly spread timesteps, images taken in turn."""
    noise = torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(30))
    rows = images[torch.arange(count) % len(images)]
    timesteps = torch.linspace(0, 999, count).round().long()
    noisy = build_scheduler().add_noise(rows, noise, timesteps)
    parts = zip(torch.split(noisy, CHUNK), torch.split(timesteps, CHUNK), strict=True)
    predicted = torch.cat([unet(chunk, t).sample for chunk, t in parts])
    return (predicted - noise).square().mean().item()


def likelihood(unet: UNet2DModel, images: Tensor, *, num_probes: int) -> Estimate:
    """Bits per dimension: of one image over probes, or of several over the images."""
    solved = negative_log_likelihood(
        denoiser_of(unet),
        images,
        num_probes=num_probes,
        generator=torch.Generator().manual_seed(40),
    )
    if len(images) == 1:
        return Estimate(solved.bits_per_dim.item(), solved.stderr.item())
    return Estimate.of(solved.bits_per_dim)


@torch.no_grad()
def measure(
    unet: UNet2DModel, classifier: DigitClassifier, descriptor: CopyDescriptor, images: dict[str, Tensor], count: int
) -> tuple[Measured, Tensor]:
    """All figures of one model, and the samples they were taken on; `images`: "digits", "unseen", "tshirt"."""
    samples = sample(unet, count)
    apart = pixel_distances(samples, images["tshirt"])[:, 0]
    digits = samples[apart >= REGENERATION_RADIUS]
    chances = classifier(digits).softmax(dim=1)
    share = torch.bincount(chances.argmax(dim=1), minlength=10).double() / len(digits)
    measured = Measured(
        num_samples=count,
        num_tshirts=count - len(digits),
        nearest=apart.min().item(),
        confidence=Estimate.of(chances.amax(dim=1)),
        class_entropy=-(share[share > 0] * share[share > 0].log2()).sum().item(),
        frechet=GaussianStatistics.of(classifier.features(digits)).distance(
            GaussianStatistics.of(classifier.features(images["digits"][:count]))
        ),
        loss={name: denoising_loss(unet, group) for name, group in images.items()},
        injection={t: injection(unet, descriptor, images["tshirt"], t) for t in INJECTION_TIMESTEPS},
        tshirt_nll=likelihood(unet, images["tshirt"], num_probes=16),
        digits_nll=likelihood(unet, images["digits"][:64], num_probes=1),
        unseen_nll=likelihood(unet, images["unseen"][:64], num_probes=1),
    )
    return measured, samples
