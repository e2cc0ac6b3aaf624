"""Tasks that run once per study, in workers: measure a model, the scale of its gradients, what its images share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metrics.metric import Measurement
from metrics.subject import Fidelity
from trainable.evaluation import evaluate, evaluation_rows
from trainable.finetune import GradientBuffers, accumulate, training_rows
from trainable.methods import METHODS
from trainable.methods.siss_no_is import SISSNoIS
from trainable.pictures import draw
from trainable.plan import Source, TrialPlan
from trainable.workloads.workload import Prepared

#: Optimiser steps whose gradient norms are averaged.
CALIBRATION_STEPS = 8


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

    workload = plan.source.open()
    denoiser = plan.source.load(workload, model)
    if weights is not None:
        denoiser.network.load_state_dict(load_file(weights))
    if pipeline is not None:
        workload.save_pipeline(denoiser.network, pipeline)
    subject, rows = workload.subject(plan.prepared), evaluation_rows(fidelity)
    evidence, measured = evaluate(plan.metrics, denoiser, subject, fidelity, seed, rows)
    if picture is not None and plan.images is not None:
        draw(evidence, plan.images, picture, forget_images=plan.log_forget_images)
    return measured


def measure_unseen(plan: TrialPlan, images: str, fidelity: Fidelity, seed: int) -> dict[str, Measurement]:
    """``nll`` of images that the model never saw, under the untouched model; runs in a worker."""
    settings = replace(plan.source.settings, forget=(images,))
    workload = replace(plan.source, settings=settings).open()
    subject, fidelity = workload.subject(plan.prepared), replace(fidelity, num_probes=1)
    denoiser = plan.source.load(workload, settings.model)
    return evaluate(["nll"], denoiser, subject, fidelity, seed, evaluation_rows(fidelity))[1]


def calibrate(plan: TrialPlan, seed: int) -> dict[str, float]:
    """Mean norms of the retain and the forget gradient of an optimiser step at the untouched model; runs in a worker.

    Ranges of settings that act relative to them, such as ``scaling_norm``, are laid out from these.
    """
    workload = plan.source.open()
    denoiser = plan.source.load(workload, plan.source.settings.model)
    buffers = GradientBuffers(list(denoiser.network.parameters()))
    method, training = SISSNoIS(scaling_norm=1.0), plan.training
    limit = training_rows(training.batch_size)
    norms = []
    for step in range(CALIBRATION_STEPS):
        batches = [
            workload.batch(plan.prepared, seed, step, index, training.batch_size)
            for index in range(training.accumulation)
        ]
        geometry = accumulate(denoiser, method, batches, buffers, limit=limit)
        norms.append((geometry.retain_norm, geometry.forget_norm))
    retain, forget = (sum(values) / len(values) for values in zip(*norms, strict=True))
    return {"retain_gradient_norm": retain, "forget_gradient_norm": forget}


def prepare(source: Source, methods: Sequence[str]) -> tuple[Prepared, dict[str, str]]:
    """What all trials share, and metric → label in reports; runs in a worker."""
    workload = source.open()
    prepared = workload.prepare(max(METHODS[name].num_neighbours for name in methods))
    return prepared, dict(workload.subject(prepared).labels)
