"""Unconditional pixel-space pipelines (a diffusers ``UNet2DModel`` and a scheduler): MNIST, CelebA-HQ, a user's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from diffusion.schedule import NoiseSchedule
from metrics.fid import GaussianStatistics
from metrics.neighbours import nearest_neighbours
from metrics.subject import Subject
from trainable.batch import ForgetRetainBatch
from trainable.workloads.encoders import Encoders, open_all
from trainable.workloads.images import load_images, to_unit_range
from trainable.workloads.kinds import UNCONDITIONAL, PipelineKind, require_kind
from trainable.workloads.rows import draw_rows, nearest_by_distance, nearest_of
from trainable.workloads.workload import Prepared, Workload

_ENCODING_BATCH = 500


@dataclass(frozen=True)
class _Frame:
    """What is kept of a pipeline besides its network, which only those hold who use it."""

    kind: Any
    scheduler: Any
    channels: int
    size: tuple[int, int]

    @classmethod
    def of(cls, pipeline: Any) -> _Frame:
        config = pipeline.unet.config
        size = config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return cls(type(pipeline), pipeline.scheduler, config.in_channels, (height, width))


class UnconditionalWorkload(Workload):
    """Any unconditional diffusers pipeline, a set of retain images and one or several forget images."""

    kind: ClassVar[PipelineKind | None] = UNCONDITIONAL

    def load(self, model: str) -> Denoiser:
        require_kind(self.kind, model)
        pipeline = load_pipeline(model)
        schedule = NoiseSchedule.from_scheduler(pipeline.scheduler)
        prediction_type = pipeline.scheduler.config.get("prediction_type", "epsilon")
        return Denoiser(pipeline.unet.to(self.device).train(), schedule, prediction_type)

    def save_pipeline(self, network: nn.Module, directory: Path) -> None:
        self._frame.kind(unet=network, scheduler=self._frame.scheduler).save_pretrained(
            directory, safe_serialization=True
        )

    def batch(
        self, prepared: Prepared, seed: int, step: int, index: int, size: int, *, with_neighbours: bool = False
    ) -> ForgetRetainBatch:
        rows = draw_rows(self._frame.scheduler, len(self.retain), len(self.forget), (seed, step, index), size)
        noise = torch.randn((size, *self.retain.shape[1:]), generator=stream(seed, "noise", step, index))
        neighbours = None
        if with_neighbours:
            neighbours = to_unit_range(self.retain[nearest_of(prepared)[rows.forget]]).to(self.device)
        return ForgetRetainBatch(
            retain=to_unit_range(self.retain[rows.retain]).to(self.device),
            forget=to_unit_range(self.forget[rows.forget]).to(self.device),
            noise=noise.to(self.device),
            timesteps=rows.timesteps.to(self.device),
            neighbours=neighbours,
        )

    def prepare(self, num_nearest: int = 0) -> Prepared:
        encoders = self.encoders
        parts = torch.split(to_unit_range(self.retain), _ENCODING_BATCH)
        with torch.no_grad():
            statistics = self._statistics(parts)
            neighbours = nearest_neighbours(
                to_unit_range(self.forget).to(self.device),
                to_unit_range(self.retain).to(self.device),
                encoders.descriptor,
                min(self.settings.num_neighbours, len(self.retain)),
            )
        nearest = nearest_by_distance(self.forget, self.retain, num_nearest) if num_nearest else None
        return Prepared(statistics, neighbours.cpu(), nearest, self._notes)

    def _statistics(self, parts: Iterable[Tensor]) -> GaussianStatistics | None:
        features = self.encoders.features
        return None if features is None else GaussianStatistics.of(features(part.to(self.device)) for part in parts)

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
            quality=encoders.quality,
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
        self._num_copies = int(copies.sum())
        return images[~copies]

    @property
    def _notes(self) -> tuple[str, ...]:
        kept, left_out = len(self.retain), self._num_copies
        if not left_out:
            return ()
        verb = "copy of a forget image was" if left_out == 1 else "copies of forget images were"
        return (f"{left_out} {verb} left out of the retain images; {kept} are kept",)

    @cached_property
    def _frame(self) -> _Frame:
        require_kind(self.kind, self.settings.model)
        return _Frame.of(load_pipeline(self.settings.model))

    def _load_images(self, location: str) -> Tensor:
        return load_images(location, channels=self._frame.channels, size=self._frame.size)

    @cached_property
    def encoders(self) -> Encoders:
        """The networks behind sscd, fid, inception_score and clip_iqa; a subclass may bring others."""
        return open_all(self.settings, self.device)


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
