"""A whole workload in miniature for tests: 8×8 images, a model of 20,000 weights that has memorised one of them.

The models are trained when asked for, in a few seconds, so that forgetting can really be measured.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import yaml
from diffusers import DDPMPipeline, DDPMScheduler
from PIL import Image
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from metrics.testing import IMAGE_SHAPE, tiny_denoiser, tiny_encoder
from trainable.workloads.encoders import Encoders
from trainable.workloads.images import to_unit_range
from trainable.workloads.unconditional import UnconditionalWorkload

NUM_RETAIN = 64
_TRAINING_STEPS = 400
_FORGET_SHARE = 0.2


class TinyWorkload(UnconditionalWorkload):
    """Unconditional 8×8 images seen through random encoders."""

    @cached_property
    def encoders(self) -> Encoders:
        embed = tiny_encoder(6, seed=2)

        def descriptor(images: Tensor) -> Tensor:
            return nn.functional.normalize(embed(images), dim=1)

        return Encoders(descriptor, tiny_encoder(4, seed=1), tiny_encoder(10, seed=3), {"fid": "FID (random features)"})


def write_tiny_study(directory: Path, **changes: object) -> Path:
    """Write models, images and a study file into ``directory``; returns the file.

    Args:
        directory: an existing directory.
        changes: fields of the study's configuration that replace those written.
    """
    retain, forget = _images()
    np.savez(directory / "retain.npz", images=retain[:, 0].numpy())
    Image.fromarray(forget[0, 0].numpy()).save(directory / "forget.png")
    write_pipeline(_trained(retain, forget), directory / "base")
    write_pipeline(_trained(retain, None), directory / "retrained")
    study = {
        "name": "tiny",
        "workload": "trainable.testing:TinyWorkload",
        "model": str(directory / "base"),
        "retrained_model": str(directory / "retrained"),
        "retain": str(directory / "retain.npz"),
        "forget": [str(directory / "forget.png")],
        "methods": ["siss", "siss_no_is", "erasediff", "naive_deletion", "neggrad"],
        "constraints": ["fid <= 1.05x"],
        "num_trials": 6,
        "rungs": [2, 4],
        "batch_size": 8,
        "learning_rate": 3e-4,
        "adam_betas": [0.95, 0.999],
        "weight_decay": 1e-6,
        "max_grad_norm": 1.0,
        "num_images": 24,
        "num_sampling_steps": 4,
        "num_denoisings": 8,
        "num_denoising_steps": 3,
        "injection_timestep": 500,
        "num_probes": 2,
        "num_likelihood_evaluations": 16,
        "num_membership_noises": 4,
        "evaluation_batch_size": 32,
        "num_neighbours": 2,
        "num_retain_images": 8,
        "final_num_images": 24,
        "final_num_probes": 4,
        "final_num_denoisings": 16,
        "log_forget_images": True,
        **changes,
    }
    path = directory / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def write_pipeline(denoiser: Denoiser, directory: Path) -> None:
    """Write a denoiser as a plain diffusers pipeline."""
    DDPMPipeline(unet=denoiser.network, scheduler=DDPMScheduler()).save_pretrained(directory)


def _images() -> tuple[Tensor, Tensor]:
    """Blobs to retain and a checkerboard, unlike any of them, to forget: uint8 (N, 1, 8, 8) and (1, 1, 8, 8)."""
    axis = torch.arange(8).float()
    centres = torch.rand(NUM_RETAIN, 2, generator=stream(0, "blobs")) * 5 + 1
    rows, columns = axis[:, None] - centres[:, 0, None, None], axis[None] - centres[:, 1, None, None]
    blobs = torch.exp(-(rows**2 + columns**2) / 4)
    checkerboard = ((axis[:, None] // 2 + axis[None] // 2) % 2)[None]
    return (255 * blobs).byte()[:, None], (255 * checkerboard).byte()[:, None]


def _trained(retain: Tensor, forget: Tensor | None) -> Denoiser:
    denoiser = tiny_denoiser()
    optimiser = torch.optim.AdamW(denoiser.network.parameters(), lr=3e-3)
    for step in range(_TRAINING_STEPS):
        generator = stream(0, "tiny training", step)
        images = to_unit_range(retain[torch.randint(len(retain), (32,), generator=generator)])
        swap = torch.rand(32, generator=generator) < _FORGET_SHARE
        if forget is not None:
            images[swap] = to_unit_range(forget)
        noise = torch.randn(32, *IMAGE_SHAPE, generator=generator)
        timesteps = torch.randint(1000, (32,), generator=generator)
        error = denoiser(denoiser.schedule.add_noise(images, noise, timesteps), timesteps) - noise
        optimiser.zero_grad()
        torch.autograd.backward(error.square().mean())
        optimiser.step()
    return denoiser
