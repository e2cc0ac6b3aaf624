"""What a workload provides: a model to change, rows to train on, and what the model is measured against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from metrics.gaussian import GaussianStatistics
from metrics.subject import Subject
from trainable.batch import ForgetRetainBatch
from trainable.workloads.kinds import PipelineKind

#: Is called with the number of images that were looked at, and of all.
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class WorkloadSettings:
    """Where model, images and encoders are; fields mean what those of the same names in a study's configuration do."""

    model: str
    retain: str
    forget: tuple[str, ...]
    retrained_model: str | None = None
    descriptor: str | None = None
    features: str | None = None
    classifier: str | None = None
    clip: str | None = None
    prompts: str | None = None
    guidance_scale: float | None = None
    num_neighbours: int = 8
    num_retain_images: int = 64
    forget_separately: bool = False

    @property
    def forget_sets(self) -> tuple[tuple[str, ...], ...]:
        """The images that a model is to forget, for each model that a trial trains: all, or one at a time."""
        return tuple((image,) for image in self.forget) if self.forget_separately else (self.forget,)


@dataclass(frozen=True)
class Prepared:
    """What is computed once per study and handed to every trial.

    Attributes:
        real_statistics: of the features of the retain images; None where there is no feature network.
        neighbours: (K,) rows of the retain images nearest to the forget images by descriptor, watched for damage.
        nearest: (F, K) rows of the retain images nearest to each forget image by distance in the space that the
            network works in, for methods that declare ``needs_neighbours``; None where no method does.
        notes: what the user should know of the images, a sentence each.
    """

    real_statistics: GaussianStatistics | None
    neighbours: Tensor
    nearest: Tensor | None = None
    notes: tuple[str, ...] = ()


class Workload(ABC):
    """One kind of diffusion pipeline with the images of a study.

    Args:
        settings: where things are.
        device: where networks and images are put.

    Attributes:
        kind: of the pipelines that it takes; None where it takes what it can load.
        told: hears how far ``prepare`` is, where somebody waits; a workload that looks at few images says nothing.
    """

    kind: ClassVar[PipelineKind | None] = None
    told: Told | None = None

    def __init__(self, settings: WorkloadSettings, device: torch.device) -> None:
        self.settings = settings
        self.device = device

    def of(self, forget: tuple[str, ...]) -> Workload:
        """The same with other forget images. A subclass may hand on what it has loaded that does not depend on them."""
        return type(self)(replace(self.settings, forget=forget), self.device)

    @property
    def forget_name(self) -> str:
        """The forget images in one word, for the column ``forget_image``."""
        return "+".join(Path(path).stem for path in self.settings.forget)

    @abstractmethod
    def load(self, model: str) -> Denoiser:
        """The denoiser of the pipeline ``model``, freshly loaded, in training mode, on the device."""

    @abstractmethod
    def batch(
        self, prepared: Prepared, seed: int, step: int, index: int, size: int, *, with_neighbours: bool = False
    ) -> ForgetRetainBatch:
        """Micro-batch ``index`` of ``step``: a pure function of its arguments, so that resuming is exact.

        Args:
            prepared: what ``prepare`` answered.
            seed: of the trial.
            step: optimiser step.
            index: micro-batch of the step.
            size: rows.
            with_neighbours: fill ``ForgetRetainBatch.neighbours`` from ``prepared.nearest``.
        """

    @abstractmethod
    def prepare(self, num_nearest: int = 0) -> Prepared:
        """What all trials share, computed once; with ``num_nearest`` retain images to each forget image, if any."""

    @abstractmethod
    def subject(self, prepared: Prepared) -> Subject:
        """What models are measured against."""

    def unmemorised(self, prepared: Prepared, unseen: str | None) -> Subject | None:
        """A subject whose forget images are as likely as a forgotten one should be; None where nobody knows any.

        Args:
            prepared: what ``prepare`` answered.
            unseen: an ``.npz`` of images that the model never saw, if there is one.
        """
        if unseen is None:
            return None
        other = type(self)(replace(self.settings, forget=(unseen,)), self.device)
        return other.subject(prepared)

    def offload(self) -> None:  # noqa: B027 - nothing to do is the rule
        """Take off the GPU what only evaluation needs; it comes back when it is used."""

    @abstractmethod
    def save_pipeline(self, network: nn.Module, directory: Path) -> None:
        """Write a plain diffusers pipeline around ``network`` (safetensors)."""
