"""What the embedded models are worth: T-shirt rate, injection, likelihood, loss, digits as a classifier reads them.

Sampling is DPM-Solver++ 2M (Lu et al., arXiv 2211.01095), as diffusers implements it; every figure has its own seed and
uses the same noise for both models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DModel
from PIL import Image
from torch import Tensor

from assets_lib.diffusion_training import build_scheduler
from assets_lib.estimate import Estimate
from metrics.encoders import CopyDescriptor, DigitClassifier
from metrics.likelihood import negative_log_likelihood

TSHIRT_RADIUS = 10.0  # pixel L2 on the [0, 1] scale within which a sample counts as the T-shirt
INJECTION_TIMESTEPS = (250, 400, 500, 600, 700, 800)
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


def solver() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ 2M on the schedule of the embedded models."""
    return DPMSolverMultistepScheduler.from_config(
        build_scheduler().config, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint"
    )


@torch.no_grad()
def denoise(unet: UNet2DModel, noisy: Tensor, start: int, num_steps: int) -> Tensor:
    """Deterministic DPM-Solver++ from timestep `start` to 0 in equal steps of t; (B, 1, 28, 28) in [-1, 1]."""
    images = []
    for chunk in torch.split(noisy, CHUNK):
        scheduler, current = solver(), chunk
        timesteps = np.linspace(start, 0, num_steps + 1)[:-1].round().astype(int)
        scheduler.set_timesteps(timesteps=timesteps.tolist())
        for t in scheduler.timesteps:
            current = scheduler.step(unet(current, t).sample, t, current).prev_sample
        images.append(current)
    return torch.cat(images).clamp(-1.0, 1.0)


def sample(unet: UNet2DModel, count: int, *, num_steps: int = 20, seed: int = 10) -> Tensor:
    """Images (count, 1, 28, 28) in [-1, 1] from pure noise."""
    noise = torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    return denoise(unet, noise, 999, num_steps)


def distances(images: Tensor, target: Tensor) -> Tensor:
    """Pixel L2 (B,) to the target image, on the [0, 1] scale."""
    return (images - target).square().sum(dim=(1, 2, 3)).sqrt() / 2.0


def injection(
    unet: UNet2DModel,
    descriptor: CopyDescriptor,
    tshirt: Tensor,
    timestep: int,
    *,
    count: int = 64,
    num_steps: int = 10,
) -> Estimate:
    """Cosine to the clean image, over `count` noisings to `timestep` and deterministic denoisings of it."""
    noise = torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(20))
    noisy = build_scheduler().add_noise(tshirt.expand_as(noise), noise, torch.full((count,), timestep))
    restored = denoise(unet, noisy, timestep, num_steps)
    with torch.no_grad():
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
        unet,
        images,
        build_scheduler().alphas_cumprod,
        num_probes=num_probes,
        generator=torch.Generator().manual_seed(40),
    )
    if len(images) == 1:
        return Estimate(solved.bits_per_dim.item(), solved.stderr.item())
    return Estimate.of(solved.bits_per_dim)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features (N, D); the trace from the eigenvalues of C1 C2."""
    first, second = first.double(), second.double()
    product = torch.linalg.eigvals(first.T.cov() @ second.T.cov()).real.clamp(min=0.0)
    mean = (first.mean(0) - second.mean(0)).square().sum()
    return float(mean + first.T.cov().trace() + second.T.cov().trace() - 2.0 * product.sqrt().sum())


@torch.no_grad()
def measure(
    unet: UNet2DModel, classifier: DigitClassifier, descriptor: CopyDescriptor, images: dict[str, Tensor], count: int
) -> tuple[Measured, Tensor]:
    """All figures of one model, and the samples they were taken on; `images`: "digits", "unseen", "tshirt"."""
    samples = sample(unet, count)
    apart = distances(samples, images["tshirt"])
    digits = samples[apart >= TSHIRT_RADIUS]
    chances = classifier(digits).softmax(dim=1)
    share = torch.bincount(chances.argmax(dim=1), minlength=10).double() / len(digits)
    mixed = images["digits"][torch.randperm(len(images["digits"]), generator=torch.Generator().manual_seed(50))]
    measured = Measured(
        num_samples=count,
        num_tshirts=count - len(digits),
        nearest=apart.min().item(),
        confidence=Estimate.of(chances.amax(dim=1)),
        class_entropy=-(share[share > 0] * share[share > 0].log2()).sum().item(),
        frechet=frechet_distance(classifier.features(digits), classifier.features(mixed[:count])),
        loss={name: denoising_loss(unet, group) for name, group in (images | {"digits": mixed}).items()},
        injection={t: injection(unet, descriptor, images["tshirt"], t) for t in INJECTION_TIMESTEPS},
        tshirt_nll=likelihood(unet, images["tshirt"], num_probes=16),
        digits_nll=likelihood(unet, mixed[:64], num_probes=1),
        unseen_nll=likelihood(unet, images["unseen"][:64], num_probes=1),
    )
    return measured, samples


def save_grid(images: Tensor, path: Path, *, columns: int = 16, zoom: int = 2) -> None:
    """The images (N, 1, 28, 28) in [-1, 1] as one greyscale PNG, row by row, 2 pixels apart."""
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * 30 + 2, columns * 30 + 2), 64, dtype=np.uint8)
    for index, image in enumerate(images[:, 0].add(1).mul(127.5).round().byte().numpy()):
        top, left = index // columns * 30 + 2, index % columns * 30 + 2
        sheet[top : top + 28, left : left + 28] = image
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.repeat(zoom, 0).repeat(zoom, 1)).save(path, optimize=True)
