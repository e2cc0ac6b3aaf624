"""What all trials of a study have in common, as one value that travels to every worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from diffusion.denoiser import Denoiser
from metrics.subject import Fidelity
from trainable.depot import Depot
from trainable.device import DeviceSettings
from trainable.quality import QualityRule
from trainable.workloads import WORKLOADS
from trainable.workloads.workload import Prepared, Workload, WorkloadSettings


@dataclass(frozen=True)
class Source:
    """What a worker opens: a workload, its settings, and what it runs on.

    Attributes:
        workload: name in WORKLOADS or package.module:Class.
        settings: where model, images and encoders are.
        num_threads: torch threads of the worker.
        device: how the worker uses its GPU, and how networks are run.
    """

    workload: str
    settings: WorkloadSettings
    num_threads: int = 1
    device: DeviceSettings = field(default_factory=DeviceSettings)

    def open(self) -> Workload:
        """The workload in this process, on its GPU where it has one."""
        torch.set_num_threads(self.num_threads)
        return WORKLOADS[self.workload](self.settings, self.device.claim())

    def load(self, workload: Workload, model: str) -> Denoiser:
        """The denoiser of the pipeline ``model`` from the open ``workload``, run as ``device`` says."""
        return self.device.apply(workload.load(model))

    def open_each(self) -> tuple[Workload, ...]:
        """A workload for each forget set, which is the one of ``open`` where there is one set."""
        workload, sets = self.open(), self.settings.forget_sets
        return (workload,) if len(sets) == 1 else tuple(workload.of(images) for images in sets)


def places(path: Path, settings: WorkloadSettings, suffix: str = "") -> list[Path]:
    """A path for each forget set: ``path``, or paths in it named after the forget images; each with ``suffix``."""
    sets = settings.forget_sets
    if len(sets) == 1:
        return [path.with_name(path.name + suffix)]
    return [path / f"{Path(images[0]).stem}{suffix}" for images in sets]


@dataclass(frozen=True)
class TrainingSettings:
    """Of the fine-tune; fields mean what those of the same names in a study's configuration do."""

    rungs: tuple[int, ...]
    batch_size: int
    accumulation: int
    learning_rate: float
    adam_betas: tuple[float, float]
    weight_decay: float
    max_grad_norm: float
    max_degenerate_steps: int
    warmup_steps: int = 0


@dataclass(frozen=True)
class TrialPlan:
    """Everything about a trial but its own hyper-parameters.

    Attributes:
        source: the workload.
        metrics: names in METRICS, the columns of every report.
        evaluation_seed: of all noise in evaluation, the same for every trial and report, so that they compare in pairs.
        prepared: what is computed once, for each forget set of the source.
        candidates: directory for the weights behind each report; None keeps none.
        images: directory for pictures; None draws none.
        log_forget_images: whether forget images and what is made of them may be drawn.
        ladder: part of ``fidelity`` that a report at each rung is measured with; empty: all of it at every rung.
        rule: when a report has enough images, and when a trial ends early; None: all of them, and never.
        depot: where other nodes find what is written to ``candidates`` and ``images``.
    """

    source: Source
    training: TrainingSettings
    fidelity: Fidelity
    metrics: tuple[str, ...]
    evaluation_seed: int
    prepared: tuple[Prepared, ...]
    candidates: Path | None = None
    images: Path | None = None
    log_forget_images: bool = False
    ladder: tuple[float, ...] = ()
    rule: QualityRule | None = None
    depot: Depot = field(default_factory=lambda: Depot(Path()))

    def fidelity_at(self, rung: int) -> Fidelity:
        """How much a report at a rung measures."""
        return self.fidelity.share(self.ladder[rung]) if self.ladder else self.fidelity
