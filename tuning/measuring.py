"""Tasks that run once per study, in workers: measure a model, the scale of its gradients, what its images share."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import load_file
from torch import Tensor

from metrics import measure
from metrics.evidence import Evidence
from metrics.expected import Sizes, expected_rows
from metrics.metric import Measurement
from metrics.nll import NegativeLogLikelihood, grid_error
from metrics.pooling import pooled
from metrics.subject import Fidelity
from trainable.evaluation import evaluate, evaluation_rows
from trainable.finetune import GradientBuffers, accumulate, training_rows
from trainable.methods import METHODS
from trainable.methods.siss_no_is import SISSNoIS
from trainable.pictures import pictures, save_pictures
from trainable.plan import Source, TrialPlan, places
from trainable.quality import is_of_samples, variety
from trainable.workloads.workload import Prepared
from tuning.task_progress import Teller, now_and_then, watching

#: Optimiser steps whose gradient norms are averaged.
CALIBRATION_STEPS = 8
NLL = NegativeLogLikelihood.name


def measure_model(
    plan: TrialPlan,
    model: str,
    fidelity: Fidelity,
    seed: int,
    *,
    weights: Path | None = None,
    pipeline: Path | None = None,
    picture: str | None = None,
    teller: Teller | None = None,
) -> dict[str, Measurement]:
    """The plan's metrics of the pipeline ``model``, or of it with ``weights``; runs in a worker.

    Where the study unlearns its forget images one at a time, it is the mean over them: of the one model, or of the
    model that each image's weights make.

    Args:
        weights: a safetensors file of the network's weights, less the suffix, or a folder of one for each forget image;
            put in the place of the pipeline's own.
        pipeline: where to write the measured models as diffusers pipelines, if anywhere.
        picture: name of its pictures among the study's; None draws none.
        teller: tells how far it is.
    """
    measured, drawing = [], _Drawing(plan, picture)
    for evidence, found in _each_model(plan, model, fidelity, seed, weights, pipeline, teller=teller):
        measured.append(found)
        drawing.add(evidence)
    drawing.save()
    return {name: pooled([of[name] for of in measured]) for name in plan.metrics}


class _Drawing:
    """The pictures of a measured model, for each of its forget sets; draws nothing where ``name`` is None."""

    def __init__(self, plan: TrialPlan, name: str | None) -> None:
        self._plan, self._name = plan, name
        self._drawn: list[dict[str, Tensor]] = []

    def add(self, evidence: Evidence) -> None:
        if self._name is not None and self._plan.images is not None:
            self._drawn.append(pictures(evidence, forget_images=self._plan.log_forget_images))

    def save(self) -> None:
        if self._name is not None and self._plan.images is not None:
            self._plan.depot.hand_over(save_pictures(self._drawn, self._plan.images, self._name).values())


def _each_model(
    plan: TrialPlan,
    model: str,
    fidelity: Fidelity,
    seed: int,
    weights: Path | None = None,
    pipeline: Path | None = None,
    *,
    teller: Teller | None = None,
) -> Iterator[tuple[Evidence, dict[str, Measurement]]]:
    """For each forget set the evidence on its model, and the plan's metrics; arguments as of ``measure_model``."""
    settings = plan.source.settings
    files = None if weights is None else places(weights, settings, ".safetensors")
    directories = None if pipeline is None else places(pipeline, settings)
    workloads = plan.source.open_each()
    denoiser, rows = plan.source.load(workloads[0], model), evaluation_rows(fidelity)
    evidence: Evidence | None = None
    with watching(denoiser.network, teller):
        for index, (workload, prepared) in enumerate(zip(workloads, plan.prepared, strict=True)):
            if files is not None:
                with plan.depot.at_hand(files[index]) as file:
                    denoiser.network.load_state_dict(load_file(file))
            if directories is not None:
                workload.save_pipeline(denoiser.network, directories[index])
                plan.depot.hand_over([directories[index]])
            subject = workload.subject(prepared)
            # One model generates the same images whatever it is to forget.
            begun = evidence if files is None else None
            evidence, found = evaluate(plan.metrics, denoiser, subject, fidelity, seed, rows, begun)
            yield evidence, found


@dataclass(frozen=True)
class SearchReference:
    """The untouched model as trials are measured.

    Attributes:
        by_images: number of images → metric → value; at all images every metric, at fewer those of generated images.
        variety: of the images; 0 where none were made.
        seconds: that measuring it took, the smaller numbers left out.
        offsets: rung → for each forget set, metric → what all of a report's draws give more than those of that rung;
            of metrics that are not of generated images, at rungs that measure with a part.
        grid_error: of ``nll``, in bits/dim (`metrics.nll.grid_error`), the largest over forget sets; 0 without ``nll``.
    """

    by_images: Mapping[int, Mapping[str, Measurement]]
    variety: float
    seconds: float
    offsets: Mapping[int, Sequence[Mapping[str, float]]]
    grid_error: float = 0.0


def measure_untouched(
    plan: TrialPlan, counts: Sequence[int], picture: str | None = None, teller: Teller | None = None
) -> SearchReference:
    """The untouched model with all of the plan's images and with the first ``counts`` of them; runs in a worker.

    Its pictures, by the name ``picture`` among the study's, are drawn from the noise that trials' are drawn from; None
    draws none.
    """
    drawing = _Drawing(plan, picture)
    began, seed, seconds = time.perf_counter(), plan.evaluation_seed, 0.0
    measured, offsets, grid_errors = [], [], [0.0]
    for last, found in _each_model(plan, plan.source.settings.model, plan.fidelity, seed, teller=teller):
        evidence = last  # the images of one model only: thousands of large ones fill a memory
        measured.append(found)
        seconds += time.perf_counter() - began
        offsets.append(_offsets(plan, evidence, found))
        if NLL in plan.metrics:
            grid_errors.append(grid_error(evidence))
        drawing.add(evidence)
        began = time.perf_counter()
    drawing.save()
    whole = {name: pooled([of[name] for of in measured]) for name in plan.metrics}
    names = [name for name in plan.metrics if is_of_samples(name)]
    by_images = {
        count: measure(names, Evidence(evidence.denoiser, evidence.subject, part, seed, evidence))
        for count in counts
        for part in (replace(plan.fidelity, num_images=count),)
    }
    samples = evidence.samples_so_far
    return SearchReference(
        by_images={**by_images, plan.fidelity.num_images: whole},
        variety=0.0 if samples is None else variety(samples),
        seconds=seconds,
        offsets={rung: [of[rung] for of in offsets] for rung in offsets[0]},
        grid_error=float(torch.tensor(grid_errors).max()),  # NaN where one is
    )


def _offsets(plan: TrialPlan, evidence: Evidence, whole: Mapping[str, Measurement]) -> dict[int, dict[str, float]]:
    """Of one forget set: rung → metric → `whole` less the same by that rung's draws; not where one is not finite."""
    names = [name for name in plan.metrics if not is_of_samples(name)]
    found: dict[int, dict[str, float]] = {}
    for rung in range(len(plan.ladder)):
        fidelity = plan.fidelity_at(rung)
        if fidelity == plan.fidelity:
            continue
        part = measure(names, Evidence(evidence.denoiser, evidence.subject, fidelity, plan.evaluation_seed, evidence))
        differences = {name: whole[name].value - part[name].value for name in names}
        found[rung] = {name: value for name, value in differences.items() if math.isfinite(value)}
    return found


def measure_unmemorised(
    plan: TrialPlan, unseen: str | None, fidelity: Fidelity, seed: int, teller: Teller | None = None
) -> dict[str, Measurement]:
    """``nll`` of images that the untouched model has not memorised, none where there are none; runs in a worker.

    Args:
        unseen: an ``.npz`` of images that the model never saw; a workload may know others.
    """
    workload = plan.source.open_each()[0]
    subject = workload.unmemorised(plan.prepared[0], unseen)
    if subject is None:
        return {}
    denoiser, fidelity = plan.source.load(workload, plan.source.settings.model), replace(fidelity, num_probes=1)
    rows = expected_rows(["nll"], fidelity, Sizes(len(subject.forget), 0))
    with watching(denoiser.network, teller, rows):
        return evaluate(["nll"], denoiser, subject, fidelity, seed, evaluation_rows(fidelity))[1]


def calibrate(plan: TrialPlan, seed: int) -> dict[str, float]:
    """Mean norms of the retain and the forget gradient of an optimiser step at the untouched model; runs in a worker.

    Ranges of settings that act relative to them, such as ``scaling_norm``, are laid out from these. Forget images that
    are unlearned one at a time take turns.
    """
    return timed_calibration(plan, seed)[0]


def timed_calibration(plan: TrialPlan, seed: int, teller: Teller | None = None) -> tuple[dict[str, float], float]:
    """As `calibrate`, and the seconds of one such step: the median, since the first ones are slow."""
    workloads = plan.source.open_each()
    denoiser = plan.source.load(workloads[0], plan.source.settings.model)
    buffers = GradientBuffers(list(denoiser.network.parameters()))
    method, training = SISSNoIS(scaling_norm=1.0), plan.training
    limit = training_rows(training.batch_size)
    norms, seconds = [], []
    with watching(denoiser.network, teller):
        for step in range(calibration_steps(len(workloads))):
            turn, began = step % len(workloads), time.perf_counter()
            batches = [
                workloads[turn].batch(plan.prepared[turn], seed, step, index, training.batch_size)
                for index in range(training.accumulation)
            ]
            geometry = accumulate(denoiser, method, batches, buffers, limit=limit)
            norms.append((geometry.retain_norm, geometry.forget_norm))
            seconds.append(time.perf_counter() - began)
    retain, forget = (sum(values) / len(values) for values in zip(*norms, strict=True))
    return {"retain_gradient_norm": retain, "forget_gradient_norm": forget}, median(seconds)


def calibration_steps(num_sets: int) -> int:
    """Steps of a calibration: every forget set has its turn."""
    return max(CALIBRATION_STEPS, num_sets)


def prepare(
    source: Source, methods: Sequence[str], teller: Teller | None = None
) -> tuple[tuple[Prepared, ...], dict[str, str]]:
    """What all trials share, for each forget set, and metric → label in reports; runs in a worker."""
    workloads = source.open_each()
    if teller is not None:
        for workload in workloads:
            workload.told = now_and_then(teller.tell)
    num_nearest = max(METHODS[name].num_neighbours for name in methods)
    prepared = tuple(workload.prepare(num_nearest) for workload in workloads)
    return prepared, dict(workloads[0].subject(prepared[0]).labels)
