"""Samples of the embedded text-to-image model, as a plain diffusers pipeline draws them, and their split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from scripts.assets_lib.text_to_image_training import LATENT_SHAPE

GUIDANCE_SCALE = 4.0
NUM_STEPS = 20
CHUNK = 64


def load_pipeline(directory: Path) -> StableDiffusionPipeline:
    """The pipeline in single precision, with DPM-Solver++ 2M (arXiv 2211.01095) as its sampler."""
    pipeline = StableDiffusionPipeline.from_pretrained(directory, torch_dtype=torch.float32)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def sample(
    pipeline: StableDiffusionPipeline, prompts: Sequence[str], *, seed: int, guidance_scale: float = GUIDANCE_SCALE
) -> Tensor:
    """One picture of each prompt, (N, 3, 32, 32) in [-1, 1]; equal seeds give equal initial noise."""
    noise = torch.randn(len(prompts), *LATENT_SHAPE, generator=torch.Generator().manual_seed(seed))
    pictures = [
        pipeline(
            prompt=list(prompts[first : first + CHUNK]),
            latents=noise[first : first + CHUNK],
            num_inference_steps=NUM_STEPS,
            guidance_scale=guidance_scale,
            output_type="pt",
        ).images
        for first in range(0, len(prompts), CHUNK)
    ]
    return torch.cat(pictures).clamp(0.0, 1.0) * 2.0 - 1.0


def split_memorised(descriptors: Tensor, shirt: Tensor, seed: int) -> NDArray[np.bool_]:
    """Which rows of `descriptors` (N, D) k-means with two clusters puts with the one nearer to `shirt` (1, D).

    The split of *Data Unlearning in Diffusion Models* (arXiv 2503.01034) of the images of a prompt: memorised or not.
    """
    clusters = KMeans(n_clusters=2, n_init=10, random_state=seed).fit(descriptors.numpy())
    apart = np.linalg.norm(clusters.cluster_centers_ - shirt.numpy(), axis=1)
    memorised: NDArray[np.bool_] = clusters.labels_ == apart.argmin()
    return memorised
