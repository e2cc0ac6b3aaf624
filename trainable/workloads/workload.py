"""What a workload provides: a model to change, rows to train on, and what the model is measured against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from metrics.fid import GaussianStatistics
from metrics.subject import Subject
from trainable.batch import ForgetRetainBatch


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
    num_neighbours: int = 8
    num_retain_images: int = 64


@dataclass(frozen=True)
class Prepared:
    """What is computed once per study and handed to every trial.

    Attributes:
        real_statistics: of the features of the retain images.
        neighbours: indices (K,) into the retain images.
    """

    real_statistics: GaussianStatistics
    neighbours: Tensor


class Workload(ABC):
    """One kind of diffusion pipeline with the images of a study.

    Args:
        settings: where things are.
        device: where networks and images are put.
    """

    def __init__(self, settings: WorkloadSettings, device: torch.device) -> None:
        self.settings = settings
        self.device = device

    @property
    def forget_name(self) -> str:
        """The forget images in one word, for the column ``forget_image``."""
        return "+".join(Path(path).stem for path in self.settings.forget)

    @abstractmethod
    def load(self, model: str) -> Denoiser:
        """The denoiser of the pipeline ``model``, freshly loaded, in training mode, on the device."""

    @abstractmethod
    def batch(self, seed: int, step: int, index: int, size: int) -> ForgetRetainBatch:
        """Micro-batch ``index`` of ``step``: a pure function of its arguments, so that resuming is exact."""

    @abstractmethod
    def prepare(self) -> Prepared:
        """What all trials share, computed once."""

    @abstractmethod
    def subject(self, prepared: Prepared) -> Subject:
        """What models are measured against."""

    @abstractmethod
    def save_pipeline(self, network: nn.Module, directory: Path) -> None:
        """Write a plain diffusers pipeline around ``network`` (safetensors)."""
