"""Unconditional pixel-space pipelines (a diffusers ``UNet2DModel`` and a scheduler): MNIST, CelebA-HQ, a user's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from diffusion.schedule import NoiseSchedule
from metrics.encoders import DigitClassifier, Encoder, load_encoder
from metrics.fid import GaussianStatistics
from metrics.neighbours import nearest_neighbours
from metrics.subject import Subject
from trainable.batch import ForgetRetainBatch
from trainable.workloads.images import load_images, to_unit_range
from trainable.workloads.workload import Prepared, Workload

_ENCODING_BATCH = 500


@dataclass(frozen=True)
class Encoders:
    """Networks that metrics look through, and how reports name what stands in for a published one."""

    descriptor: Callable[[Tensor], Tensor]
    features: Callable[[Tensor], Tensor]
    classifier: Callable[[Tensor], Tensor] | None
    labels: Mapping[str, str]


class UnconditionalWorkload(Workload):
    """Any unconditional diffusers pipeline, a set of retain images and one or several forget images."""

    def load(self, model: str) -> Denoiser:
        pipeline = self._pipeline if model == self.settings.model else load_pipeline(model)
        # A copy, since trials change it; this one and the pipeline's serve all trials of a worker.
        network = copy.deepcopy(pipeline.unet).to(self.device).train()
        schedule = NoiseSchedule.from_scheduler(pipeline.scheduler)
        return Denoiser(network, schedule, pipeline.scheduler.config.get("prediction_type", "epsilon"))

    def save_pipeline(self, network: nn.Module, directory: Path) -> None:
        pipeline = type(self._pipeline)(unet=copy.deepcopy(network).cpu().eval(), scheduler=self._pipeline.scheduler)
        pipeline.save_pretrained(directory, safe_serialization=True)

    def batch(self, seed: int, step: int, index: int, size: int) -> ForgetRetainBatch:
        num_timesteps = len(self._pipeline.scheduler.alphas_cumprod)
        rows = torch.randint(len(self.retain), (size,), generator=stream(seed, "retain", step, index))
        forget = torch.randint(len(self.forget), (size,), generator=stream(seed, "forget", step, index))
        steps = torch.randint(num_timesteps, (size,), generator=stream(seed, "timestep", step, index))
        noise = torch.randn((size, *self.retain.shape[1:]), generator=stream(seed, "noise", step, index))
        return ForgetRetainBatch(
            retain=to_unit_range(self.retain[rows]).to(self.device),
            forget=to_unit_range(self.forget[forget]).to(self.device),
            noise=noise.to(self.device),
            timesteps=steps.to(self.device),
        )

    def prepare(self) -> Prepared:
        encoders = self.encoders
        parts = torch.split(to_unit_range(self.retain), _ENCODING_BATCH)
        with torch.no_grad():
            statistics = GaussianStatistics.of(encoders.features(part.to(self.device)) for part in parts)
            neighbours = nearest_neighbours(
                to_unit_range(self.forget).to(self.device),
                to_unit_range(self.retain).to(self.device),
                encoders.descriptor,
                min(self.settings.num_neighbours, len(self.retain)),
            )
        return Prepared(statistics, neighbours.cpu())

    def subject(self, prepared: Prepared) -> Subject:
        encoders = self.encoders
        fixed = torch.linspace(0, len(self.retain) - 1, min(self.settings.num_retain_images, len(self.retain))).long()
        return Subject(
            forget=to_unit_range(self.forget).to(self.device),
            neighbours=to_unit_range(self.retain[prepared.neighbours]).to(self.device),
            retain=to_unit_range(self.retain[fixed]).to(self.device),
            descriptor=encoders.descriptor,
            features=encoders.features,
            classifier=encoders.classifier,
            real_statistics=prepared.real_statistics,
            labels=encoders.labels,
        )

    @cached_property
    def forget(self) -> Tensor:
        """Forget images, uint8 (F, C, H, W)."""
        return torch.cat([self._load_images(path) for path in self.settings.forget])

    @cached_property
    def retain(self) -> Tensor:
        """Retain images, uint8 (N, C, H, W): X∖A, so a copy of a forget image among them is left out.

        Raises:
            ValueError: if nothing is left.
        """
        images = self._load_images(self.settings.retain)
        forgotten = {image.numpy().tobytes() for image in self.forget}
        copies = torch.tensor([image.numpy().tobytes() in forgotten for image in images])
        if bool(copies.all()):
            raise ValueError(
                f"there must be retain images besides the forget images, but {self.settings.retain} has none"
            )
        return images[~copies]

    @cached_property
    def _pipeline(self) -> Any:
        return load_pipeline(self.settings.model)

    def _load_images(self, location: str) -> Tensor:
        config = self._pipeline.unet.config
        size = config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return load_images(location, channels=config.in_channels, size=(height, width))

    @cached_property
    def encoders(self) -> Encoders:
        """The networks behind sscd, fid and inception_score; a subclass may bring others."""
        descriptor = self._encoder("descriptor", self.settings.descriptor)
        features = self._encoder("features", self.settings.features)
        classifier = load_encoder(self.settings.classifier, self.device) if self.settings.classifier else None
        labels = {
            "sscd": f"SSCD ({descriptor.label})",
            "sscd_neighbours": f"SSCD of neighbours ({descriptor.label})",
            "fid": f"FID ({features.label})",
        }
        if classifier is not None:
            labels["inception_score"] = f"Inception Score ({classifier.label})"
        penultimate = features.features if isinstance(features, DigitClassifier) else features
        return Encoders(descriptor, penultimate, classifier, labels)

    def _encoder(self, name: str, path: str | None) -> Encoder:
        if path is None:
            raise ValueError(
                f"this workload needs an encoder file for {name!r}, but got none; give {name} in the study"
            )
        return load_encoder(path, self.device)


def load_pipeline(model: str) -> Any:
    """The diffusers pipeline at a directory or hub id.

    Raises:
        ValueError: if it cannot be loaded or is not unconditional.
    """
    from diffusers import DDPMPipeline
    from diffusers.utils import logging

    logging.disable_progress_bar()
    try:
        pipeline = DDPMPipeline.from_pretrained(model, use_safetensors=True)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"model must be a diffusers pipeline with a UNet2DModel and safetensors weights, but {model} cannot be "
            f"loaded: {error}"
        ) from error
    return pipeline
