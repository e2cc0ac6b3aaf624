"""The embedded model and images for benchmarks; random weights of the same architecture where it is not built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from diffusion.schedule import NoiseSchedule
from scripts.assets_lib.diffusion_training import build_scheduler, build_unet
from trainable.batch import ForgetRetainBatch
from trainable.methods.retrack import ReTrack
from trainable.workloads.images import load_images, to_unit_range
from trainable.workloads.unconditional import load_pipeline

ASSETS = Path(__file__).resolve().parent.parent / "assets" / "mnist_tshirt"
SIZE = (28, 28)


@dataclass(frozen=True)
class Embedded:
    """A model, the image to forget (1, 1, 28, 28), the images to keep (N, 1, 28, 28), and what the model is."""

    denoiser: Denoiser
    forget: Tensor
    retain: Tensor
    origin: str


def load_embedded(assets: Path = ASSETS) -> Embedded:
    """The embedded base model, or its architecture with random weights where it is not built."""
    forget = to_unit_range(load_images(assets / "tshirt.png", channels=1, size=SIZE))
    retain = to_unit_range(load_images(assets / "digits.npz", channels=1, size=SIZE))
    base = assets / "base"
    if (base / "model_index.json").is_file():
        pipeline = load_pipeline(str(base))
        denoiser = Denoiser(pipeline.unet, NoiseSchedule.from_scheduler(pipeline.scheduler))
        return Embedded(denoiser, forget, retain, "embedded base model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_unet()
    denoiser = Denoiser(network, NoiseSchedule.from_scheduler(build_scheduler()))
    return Embedded(denoiser, forget, retain, "random weights, architecture of the embedded base model")


def draw_batch(embedded: Embedded, size: int, seed: int = 0) -> ForgetRetainBatch:
    """A training batch of ``size`` rows, everything in it drawn."""
    generator = stream(seed, "benchmark batch")
    rows = torch.randint(len(embedded.retain), (size,), generator=generator)
    retain, nearest = embedded.retain[rows], (size, ReTrack.num_neighbours)
    return ForgetRetainBatch(
        retain=retain,
        forget=embedded.forget.expand_as(retain).contiguous(),
        noise=torch.randn(retain.shape, generator=generator),
        timesteps=torch.randint(embedded.denoiser.schedule.num_timesteps, (size,), generator=generator),
        from_forget=torch.rand(size, generator=generator) < 0.5,
        noise_target=torch.rand(retain.shape, generator=generator),
        neighbours=embedded.retain[torch.randint(len(embedded.retain), nearest, generator=generator)],
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside, as a worker with one core has it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
