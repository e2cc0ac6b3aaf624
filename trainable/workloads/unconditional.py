"""Unconditional pixel-space pipelines (a diffusers ``UNet2DModel`` and a scheduler): MNIST, CelebA-HQ, a user's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from diffusion.schedule import NoiseSchedule
from metrics.neighbours import nearest_neighbours
from metrics.subject import Subject
from trainable.batch import ForgetRetainBatch
from trainable.workloads.encoders import Encoders, open_all
from trainable.workloads.images import Images, load_images, open_images, to_unit_range
from trainable.workloads.kinds import UNCONDITIONAL, PipelineKind, require_kind
from trainable.workloads.retained import RetainSet
from trainable.workloads.rows import draw_rows, nearest_by_distance, nearest_of
from trainable.workloads.saving import forget_origin
from trainable.workloads.seen_cache import SeenCache
from trainable.workloads.workload import Prepared, Workload


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


@dataclass(frozen=True, kw_only=True)
class PreparedImages(Prepared):
    """Besides what every workload prepares, which images are retained.

    Attributes:
        kept: (R,) rows of ``UnconditionalWorkload.retain``: X∖A, so a copy of a forget image is left out.
    """

    kept: Tensor


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
        forget_origin(directory)

    def of(self, forget: tuple[str, ...]) -> UnconditionalWorkload:
        """Shares the pipeline's frame, the encoders, the retain images and what is seen of them."""
        other = type(self)(replace(self.settings, forget=forget), self.device)
        vars(other).update({name: getattr(self, name) for name in ("_frame", "encoders", "_retained")})
        return other

    def batch(
        self, prepared: Prepared, seed: int, step: int, index: int, size: int, *, with_neighbours: bool = False
    ) -> ForgetRetainBatch:
        kept = _own(prepared).kept
        rows = draw_rows(self._frame.scheduler, len(kept), len(self.forget), (seed, step, index), size)
        retain = to_unit_range(self.retain[kept[rows.retain]])
        noise = torch.randn(retain.shape, generator=stream(seed, "noise", step, index))
        neighbours = None
        if with_neighbours:
            nearest = nearest_of(prepared)[rows.forget]
            images = to_unit_range(self.retain[nearest.flatten()])
            neighbours = images.view(*nearest.shape, *images.shape[1:]).to(self.device)
        return ForgetRetainBatch(
            retain=retain.to(self.device),
            forget=to_unit_range(self.forget[rows.forget]).to(self.device),
            noise=noise.to(self.device),
            timesteps=rows.timesteps.to(self.device),
            neighbours=neighbours,
        )

    def prepare(self, num_nearest: int = 0) -> Prepared:
        """Reads every retain image once, however many forget sets there are, and once more for ``num_nearest``."""
        retained = self._retained
        retained.told = self.told
        kept = retained.without(self.forget)
        if not len(kept):
            raise ValueError(
                f"there must be retain images besides the forget images, but {self.settings.retain} has none: "
                "name a folder or .npz with other images"
            )
        with torch.no_grad():
            wanted = self.encoders.descriptor(to_unit_range(self.forget).to(self.device)).cpu()
        count = min(self.settings.num_neighbours, len(kept))
        nearest = None
        if num_nearest:
            nearest = kept[nearest_by_distance(self.forget, retained.blocks(kept), num_nearest)]
        return PreparedImages(
            real_statistics=retained.statistics(kept),
            neighbours=kept[nearest_neighbours(wanted, retained.seen.descriptors[kept], count)],
            nearest=nearest,
            notes=_notes(len(kept), len(retained.images) - len(kept)),
            kept=kept,
        )

    def subject(self, prepared: Prepared) -> Subject:
        encoders, kept = self.encoders, _own(prepared).kept
        fixed = torch.linspace(0, len(kept) - 1, min(self.settings.num_retain_images, len(kept))).long()
        return Subject(
            forget=to_unit_range(self.forget).to(self.device),
            neighbours=to_unit_range(self.retain[prepared.neighbours]).to(self.device),
            retain=to_unit_range(self.retain[kept[fixed]]).to(self.device),
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
        frame = self._frame
        return torch.cat([load_images(path, channels=frame.channels, size=frame.size) for path in self.settings.forget])

    @property
    def retain(self) -> Images:
        """The images of ``settings.retain``; which of them are retained, ``PreparedImages.kept`` says."""
        return self._retained.images

    @cached_property
    def _retained(self) -> RetainSet:
        frame = self._frame
        images = open_images(self.settings.retain, channels=frame.channels, size=frame.size)
        return RetainSet(images, self.encoders, self.device, self._cache)

    @property
    def _cache(self) -> SeenCache | None:
        """None under encoders that a subclass brings: nothing says when they change."""
        if type(self).encoders is not UnconditionalWorkload.encoders:
            return None
        settings, frame = self.settings, self._frame
        networks = (settings.descriptor, settings.features)
        return SeenCache(settings.retain, (frame.channels, *frame.size), networks, self.device)

    @cached_property
    def _frame(self) -> _Frame:
        require_kind(self.kind, self.settings.model)
        return _Frame.of(load_pipeline(self.settings.model))

    @cached_property
    def encoders(self) -> Encoders:
        """The networks behind sscd, fid, inception_score and clip_iqa; a subclass may bring others."""
        return open_all(self.settings, self.device)


def _notes(num_kept: int, num_copies: int) -> tuple[str, ...]:
    if not num_copies:
        return ()
    verb = "copy of a forget image was" if num_copies == 1 else "copies of forget images were"
    return (f"{num_copies} {verb} left out of the retain images; {num_kept} are kept",)


def _own(prepared: Prepared) -> PreparedImages:
    if not isinstance(prepared, PreparedImages):
        raise TypeError(f"this workload needs what its own prepare() answers, but got {type(prepared).__name__}")
    return prepared


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
