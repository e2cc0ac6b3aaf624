"""What is measured once per study: the untouched model, the retrained one, and the scale of the gradients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from metrics import measure
from metrics.evidence import Evidence
from metrics.metric import Measurement
from metrics.subject import Fidelity
from trainable.finetune import GradientBuffers, accumulate
from trainable.methods.siss_no_is import SISSNoIS
from trainable.pictures import draw
from trainable.plan import TrialPlan
from trainable.workloads import WORKLOADS
from tuning.files import write_text_atomic

#: Optimiser steps whose gradient norms are averaged.
CALIBRATION_STEPS = 8

Measured = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Baseline:
    """The content of ``baseline.json``.

    Attributes:
        untouched: metric → {value, stderr, num_samples} of the untouched model, at full fidelity and on the seeds that
            the front is re-measured with.
        untouched_search: the same at the fidelity and on the seeds of trials: what their relative bounds refer to.
            FID's bias depends on the number of images, so that a bound holds only between equal counts.
        retrained: the retrained model as ``untouched``; None where there is none.
        unseen: ``nll`` of images that the model never saw; None where it was not measured.
        calibration: ``retain_gradient_norm`` and ``forget_gradient_norm`` at step 0.
        labels: metric → label in reports.
    """

    untouched: Measured
    untouched_search: Measured
    calibration: Mapping[str, float]
    retrained: Measured | None = None
    unseen: Measured | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> dict[str, float]:
        """The untouched model's values."""
        return _values(self.untouched)

    @property
    def search_reference(self) -> dict[str, float]:
        """The untouched model's values as trials measure."""
        return _values(self.untouched_search)

    @property
    def ideal(self) -> dict[str, float]:
        """The retrained model's values; without one SSCD 0 and the likelihood of unseen images."""
        if self.retrained is not None:
            return _values(self.retrained)
        unseen = _values(self.unseen) if self.unseen is not None else {}
        return {"sscd": 0.0, **unseen}

    def save(self, path: Path) -> None:
        present = {key: value for key, value in asdict(self).items() if value is not None}
        write_text_atomic(path, json.dumps(present, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Baseline:
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def _values(measured: Measured) -> dict[str, float]:
    return {name: float(entry["value"]) for name, entry in measured.items()}


def as_record(measurements: Mapping[str, Measurement]) -> dict[str, dict[str, float | int]]:
    """Measurements as the entries of ``baseline.json``."""
    return {
        name: {"value": m.value, "stderr": m.stderr, "num_samples": m.num_samples} for name, m in measurements.items()
    }


def measure_model(
    plan: TrialPlan,
    model: str,
    fidelity: Fidelity,
    seed: int,
    *,
    weights: Path | None = None,
    pipeline: Path | None = None,
    picture: str | None = None,
) -> dict[str, Measurement]:
    """The plan's metrics of the pipeline ``model``, or of it with ``weights``; runs in a worker.

    Args:
        weights: a safetensors file of the network's weights, put in the place of the pipeline's own.
        pipeline: where to write the measured model as a diffusers pipeline, if anywhere.
        picture: name of its pictures among the study's; None draws none.
    """
    from safetensors.torch import load_file

    torch.set_num_threads(plan.num_threads)
    workload = WORKLOADS[plan.workload](plan.workload_settings, _device())
    denoiser = workload.load(model)
    if weights is not None:
        denoiser.network.load_state_dict(load_file(weights))
    if pipeline is not None:
        workload.save_pipeline(denoiser.network, pipeline)
    evidence = Evidence(denoiser, workload.subject(plan.prepared), fidelity, seed)
    measured = measure(plan.metrics, evidence)
    if picture is not None and plan.images is not None:
        draw(evidence, plan.images, picture, forget_images=plan.log_forget_images)
    return measured


def measure_unseen(plan: TrialPlan, images: str, fidelity: Fidelity, seed: int) -> dict[str, Measurement]:
    """``nll`` of images that the model never saw, under the untouched model; runs in a worker."""
    torch.set_num_threads(plan.num_threads)
    settings = replace(plan.workload_settings, forget=(images,))
    workload = WORKLOADS[plan.workload](settings, _device())
    subject = workload.subject(plan.prepared)
    evidence = Evidence(workload.load(settings.model), subject, replace(fidelity, num_probes=1), seed)
    return measure(["nll"], evidence)


def calibrate(plan: TrialPlan, seed: int) -> dict[str, float]:
    """Mean norms of the retain and the forget gradient of an optimiser step at the untouched model; runs in a worker.

    Ranges of settings that act relative to them, such as ``scaling_norm``, are laid out from these.
    """
    torch.set_num_threads(plan.num_threads)
    workload = WORKLOADS[plan.workload](plan.workload_settings, _device())
    denoiser = workload.load(plan.workload_settings.model)
    buffers = GradientBuffers(list(denoiser.network.parameters()))
    method, training = SISSNoIS(scaling_norm=1.0), plan.training
    norms = []
    for step in range(CALIBRATION_STEPS):
        batches = [workload.batch(seed, step, index, training.batch_size) for index in range(training.accumulation)]
        geometry = accumulate(denoiser, method, batches, buffers)
        norms.append((geometry.retain_norm, geometry.forget_norm))
    retain, forget = (sum(values) / len(values) for values in zip(*norms, strict=True))
    return {"retain_gradient_norm": retain, "forget_gradient_norm": forget}


def prepare(plan_settings: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
    """(Prepared, labels) of a workload; runs in a worker."""
    torch.set_num_threads(plan_settings["num_threads"])
    workload = WORKLOADS[plan_settings["workload"]](plan_settings["workload_settings"], _device())
    prepared = workload.prepare()
    return prepared, dict(workload.subject(prepared).labels)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
