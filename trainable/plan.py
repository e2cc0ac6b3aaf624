"""What all trials of a study have in common, as one value that travels to every worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metrics.subject import Fidelity
from trainable.workloads.workload import Prepared, WorkloadSettings


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
        workload: name in WORKLOADS or package.module:Class.
        metrics: names in METRICS, the columns of every report.
        evaluation_seed: of all noise in evaluation, the same for every trial and report, so that they compare in pairs.
        candidates: directory for the weights behind each report; None keeps none.
        images: directory for pictures; None draws none.
        log_forget_images: whether forget images and what is made of them may be drawn.
        num_threads: torch threads of a worker.
    """

    workload: str
    workload_settings: WorkloadSettings
    training: TrainingSettings
    fidelity: Fidelity
    metrics: tuple[str, ...]
    evaluation_seed: int
    prepared: Prepared
    candidates: Path | None = None
    images: Path | None = None
    log_forget_images: bool = False
    num_threads: int = 1
