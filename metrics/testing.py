"""A small real subject and model, for contract tests of metrics: those in METRICS and those from outside.

Every network is real and randomly initialised from a fixed seed; nothing is loaded, and one Evidence with all its parts
takes well under a second of one core.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from diffusion.denoiser import Denoiser, as_denoiser
from diffusion.rng import stream
from metrics.clusters import Clusters
from metrics.evidence import Evidence, Fidelity, Subject
from metrics.gaussian import GaussianStatistics

TINY_FIDELITY = Fidelity(
    num_images=6,
    num_sampling_steps=3,
    num_denoisings=4,
    num_denoising_steps=2,
    injection_timestep=500,
    num_probes=2,
    num_likelihood_evaluations=16,
    num_membership_noises=3,
    batch_size=8,
)
IMAGE_SHAPE = (1, 8, 8)


def tiny_denoiser(seed: int = 0) -> Denoiser:
    """A random UNet2DModel for 8×8 grey images on the linear DDPM schedule."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
        )
    return as_denoiser(network, DDPMScheduler().alphas_cumprod)


def tiny_encoder(outputs: int, seed: int) -> nn.Module:
    """A random convolutional encoder from 8×8 grey images to (B, outputs), in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.SiLU(), nn.Flatten(), nn.Linear(36, outputs))
    return layers.eval().requires_grad_(False)


def tiny_subject(num_forget: int = 1) -> Subject:
    """Random images: ``num_forget`` forget images, 3 neighbours, 4 retain images, statistics of 32 others."""
    images = torch.rand(num_forget + 39, *IMAGE_SHAPE, generator=stream(0, "tiny images")) * 2 - 1
    forget, neighbours, retain, real = torch.split(images, [num_forget, 3, 4, 32])
    features, embed = tiny_encoder(5, seed=1), tiny_encoder(6, seed=2)

    def descriptor(images: Tensor) -> Tensor:
        return nn.functional.normalize(embed(images), dim=1)

    judge = tiny_encoder(1, seed=4)
    clusters = Clusters(descriptor(forget).mean(0), descriptor(retain).mean(0))
    return Subject(
        forget,
        neighbours,
        retain,
        descriptor,
        features,
        tiny_encoder(10, seed=3),
        GaussianStatistics.of(features(real)),
        quality=lambda images: judge(images)[:, 0].sigmoid(),
        memorised=clusters.is_memorised,
    )


def tiny_evidence(denoiser: Denoiser | None = None, seed: int = 0, num_forget: int = 1, **changes: int) -> Evidence:
    """Evidence on ``denoiser`` (default: ``tiny_denoiser()``); ``changes`` are fields of TINY_FIDELITY."""
    fidelity = replace(TINY_FIDELITY, **changes)
    return Evidence(denoiser or tiny_denoiser(), tiny_subject(num_forget), fidelity, seed)
