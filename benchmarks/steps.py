"""What an optimiser step of each method costs against a plain fine-tuning step, which is naive deletion's.

Before anything is timed, SISS is checked: the gradient that a step applies must equal the one computed the plain way,
two terms with their importance weights from the definition, in float64.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from benchmarks.embedded import Embedded, draw_batch, load_embedded, one_thread
from benchmarks.table import Result
from diffusion.denoiser import Denoiser
from search_spaces import SEARCH_SPACES, MethodSpace
from trainable.batch import ForgetRetainBatch
from trainable.finetune import FineTuner, composed_gradient
from trainable.methods import METHODS
from trainable.methods.method import Method
from trainable.methods.siss import SISS

PLAIN = "naive_deletion"
#: ‖g_x‖ that ratios are of, about that of the embedded model at its first step.
_CALIBRATION: Mapping[str, float] = {"retain_gradient_norm": 100.0}


def _published(space: MethodSpace) -> dict[str, float]:
    """The settings of a method that its authors published first, as the method takes them."""
    resolved = space.resolve(space.published[0], _CALIBRATION, {})
    return {parameter.name: resolved[parameter.name] for parameter in space.parameters}


#: Registered method → settings to time it with.
SETTINGS: Mapping[str, Mapping[str, float]] = {name: _published(space) for name, space in SEARCH_SPACES.items()}
#: Largest relative error of SISS's float32 gradient.
TOLERANCE = 1e-4
_WARM_UP = 2


def run(batch_size: int = 64, pairs: int = 9, embedded: Embedded | None = None) -> Result:
    """Time every method in pairs with a plain step.

    Raises:
        ArithmeticError: SISS's gradient is not the plain computation's.
    """
    embedded = embedded or load_embedded()
    batch = draw_batch(embedded, batch_size)
    with one_thread():
        error = siss_error(embedded.denoiser, batch, SISS(**SETTINGS["siss"]))
        if not error < TOLERANCE:
            raise ArithmeticError(
                f"SISS's gradient must equal the plain computation's to {TOLERANCE}, but is {error:.1e} off"
            )
        rows = [_row(name, embedded.denoiser, batch, pairs) for name in METHODS]
    return Result(
        f"Optimiser step against plain fine-tuning, {batch_size} rows of 1x28x28, one core, {pairs} pairs",
        ("method", "forward", "backward", "by count", "median", "lowest", "highest"),
        rows,
        f"By count: (forward + 2 backward) / 3. SISS's gradient is {error:.1e} off the plain one in float64.",
    )


def siss_error(denoiser: Denoiser, batch: ForgetRetainBatch, method: SISS) -> float:
    """‖applied - plain‖ / ‖plain‖ of SISS's combined gradient."""
    applied = composed_gradient(denoiser.network, method, [batch], denoiser.schedule.alphas_cumprod)
    plain = plain_siss_gradient(denoiser, batch, method)
    difference = torch.cat([(applied[name].double() - value).flatten() for name, value in plain.items()])
    whole = torch.cat([value.flatten() for value in plain.values()])
    return float(difference.norm() / whole.norm())


def plain_siss_gradient(denoiser: Denoiser, batch: ForgetRetainBatch, method: SISS) -> dict[str, Tensor]:
    """SISS's gradient from its definition (arXiv 2503.01034, equations 5-8), a forward and a backward for each term."""
    network = copy.deepcopy(denoiser.network).double()
    plain = Denoiser(network, denoiser.schedule, denoiser.prediction_type)
    retain, forget, noise = batch.retain.double(), batch.forget.double(), batch.noise.double()
    if batch.from_forget is None:
        raise ValueError("the mixture must be drawn beforehand, but the batch has no from_forget")
    gamma, sigma = denoiser.schedule.coefficients(batch.timesteps, noise)
    images = torch.where(batch.from_forget.view(-1, 1, 1, 1), forget, retain)
    m, lambd = gamma * images + sigma * noise, method.lambd

    def distance(origin: Tensor) -> Tensor:
        return ((m - gamma * origin).square() / (2 * sigma**2)).flatten(1).sum(1)

    d = distance(retain) - distance(forget)
    weights = {"retain": 1 / ((1 - lambd) + lambd * d.exp()), "forget": 1 / ((1 - lambd) * (-d).exp() + lambd)}
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = []
    for term, origin in (("retain", retain), ("forget", forget)):
        errors = (plain(m, batch.timesteps) - (m - gamma * origin) / sigma).square().flatten(1).sum(1)
        gradients.append(torch.autograd.grad((weights[term] * errors).mean(), parameters))
    norm = torch.cat([g.flatten() for g in gradients[1]]).norm()
    pairs = zip(*gradients, strict=True)
    return {name: x - method.scaling_norm / norm * a for name, (x, a) in zip(names, pairs, strict=True)}


def _row(name: str, denoiser: Denoiser, batch: ForgetRetainBatch, pairs: int) -> tuple[str, ...]:
    ratios = paired_ratios(tuner_of(PLAIN, denoiser), tuner_of(name, denoiser), [batch], pairs)
    forward, backward = METHODS[name].cost
    figures = ((forward + 2 * backward) / 3, statistics.median(ratios), min(ratios), max(ratios))
    return (name, str(forward), str(backward), *(f"{figure:.2f}" for figure in figures))


class Steps(Protocol):
    """What can be timed."""

    def step(self, batches: Sequence[ForgetRetainBatch]) -> object:
        """One optimiser step."""


def paired_ratios(plain: Steps, other: Steps, batches: Sequence[ForgetRetainBatch], pairs: int) -> list[float]:
    """Seconds of a step of ``other`` over one of ``plain``, each pair one after the other."""
    for _ in range(_WARM_UP):
        _seconds(plain, batches), _seconds(other, batches)
    ratios = []
    for index in range(pairs):
        # Which of the two comes first alternates, so that a drift of the machine favours neither.
        first, second = (plain, other) if index % 2 == 0 else (other, plain)
        times = {id(steps): _seconds(steps, batches) for steps in (first, second)}
        ratios.append(times[id(other)] / times[id(plain)])
    return ratios


def tuner_of(method: str | Method, denoiser: Denoiser) -> FineTuner:
    """A method on its own copy of the network; the learning rate is small, so that nothing diverges."""
    network = copy.deepcopy(denoiser.network).train()
    own = Denoiser(network, denoiser.schedule, denoiser.prediction_type)
    made = METHODS[method](**SETTINGS[method]) if isinstance(method, str) else method
    return FineTuner(own, made, learning_rate=1e-6, betas=(0.95, 0.999), weight_decay=1e-6, max_grad_norm=1.0)


def _seconds(steps: Steps, batches: Sequence[ForgetRetainBatch]) -> float:
    began = time.perf_counter()
    steps.step(batches)
    return time.perf_counter() - began
