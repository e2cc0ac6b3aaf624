"""One optimiser step of unlearning: accumulate both gradients, combine, clip, update.

The two gradients are accumulated in place in two buffers by swapping ``param.grad``; one-term methods hold one buffer.
The host waits for the device when a method regroups its rows, when the three numbers of the gradient geometry are
read, and for the combined gradient's norm: a fixed number of times a step, however many micro-batches it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser, as_denoiser
from trainable.batch import ForgetRetainBatch
from trainable.memory import RowLimit
from trainable.methods.method import Combination, GradientGeometry, Losses, Method


class NonFiniteGradientError(ArithmeticError):
    """A gradient was NaN or infinite; the weights are as they were before the step."""


@dataclass(frozen=True)
class StepStats:
    """What one step did; norms are global L2 before clipping."""

    geometry: GradientGeometry
    combination: Combination
    gradient_norm: float


class GradientBuffers:
    """The accumulated g_x and g_a, one tensor a parameter each, reused from step to step."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self._terms: dict[str, list[Tensor]] = {}

    def __getitem__(self, term: str) -> list[Tensor] | None:
        return self._terms.get(term)

    def zero(self) -> None:
        for buffer in self._terms.values():
            torch._foreach_zero_(buffer)

    def backward(self, term: str, loss: Tensor, *, retain_graph: bool) -> None:
        """Add the gradient of ``loss`` to the buffer of ``term``."""
        if term not in self._terms:
            self._terms[term] = [torch.zeros_like(parameter) for parameter in self.parameters]
        for parameter, gradient in zip(self.parameters, self._terms[term], strict=True):
            parameter.grad = gradient
        try:
            torch.autograd.backward(loss, retain_graph=retain_graph)
        finally:
            for parameter in self.parameters:
                parameter.grad = None

    def geometry(self) -> GradientGeometry:
        """‖g_x‖, ‖g_a‖ and ⟨g_x, g_a⟩ over all parameters."""
        retain, forget = self["retain"], self["forget"]
        numbers = [_global_norm(retain), _global_norm(forget), _inner_product(retain, forget)]
        device = next((number.device for number in numbers if number.is_cuda), "cpu")
        return GradientGeometry(*torch.stack([number.to(device) for number in numbers]).tolist())

    def combine(self, combination: Combination) -> list[Tensor]:
        """retain · g_x + forget · g_a, in the memory of one of the two buffers."""
        retain, forget = self["retain"], self["forget"]
        target, weight = (retain, combination.retain) if retain is not None else (forget, combination.forget)
        if target is None:
            raise ValueError("a method must have a retain or a forget loss, but got neither")
        torch._foreach_mul_(target, weight)
        if retain is not None and forget is not None and combination.forget != 0:
            torch._foreach_add_(target, forget, alpha=combination.forget)
        return target


def accumulate(
    denoiser: Denoiser,
    method: Method,
    batches: Sequence[ForgetRetainBatch],
    buffers: GradientBuffers,
    generator: torch.Generator | None = None,
    limit: RowLimit | None = None,
) -> GradientGeometry:
    """Fill ``buffers`` with the gradients of both terms, averaged over all rows of ``batches``.

    Where memory does not hold a batch it is split: another sum of the same rows, equal up to rounding.

    Args:
        limit: rows of a batch that memory holds; remembered by whoever hands it over.
    """
    num_rows = sum(len(batch) for batch in batches)
    if num_rows == 0:
        raise ValueError("a step needs at least one row, but got none")
    drawn = [method.draw(batch, generator) for batch in batches]
    arranged = method.arrange(denoiser.schedule, drawn)

    def attempt(rows: int) -> None:
        buffers.zero()
        for batch in arranged:
            for part in batch.split(rows):
                _add_gradients(buffers, method.losses(denoiser, part, generator), num_rows)

    (limit or training_rows(max(map(len, batches)))).run(attempt)
    return buffers.geometry()


def training_rows(batch_size: int) -> RowLimit:
    """The limit that training in batches of ``batch_size`` begins with."""
    return RowLimit(batch_size, "training")


def _add_gradients(buffers: GradientBuffers, losses: Losses, num_rows: int) -> None:
    terms = {"retain": losses.retain, "forget": losses.forget}
    present = [(term, loss) for term, loss in terms.items() if loss is not None]
    for position, (term, loss) in enumerate(present):
        buffers.backward(term, loss.sum() / num_rows, retain_graph=position + 1 < len(present))


def composed_gradient(
    denoiser: nn.Module,
    method: Method,
    batches: Sequence[ForgetRetainBatch],
    alphas_cumprod: Tensor,
    *,
    prediction_type: str = "epsilon",
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The gradient that one optimiser step applies, before clipping, by parameter name.

    Loss terms are summed over pixels and averaged over all rows of ``batches``, so that one batch of 8 equals two of 4.
    Leaves the weights as they were and every ``.grad`` None.

    Args:
        denoiser: a diffusers UNet2DModel or UNet2DConditionModel.
        method: one of METHODS, built from its hyper-parameters.
        batches: the micro-batches of the step.
        alphas_cumprod: alpha_bar, shape (T,).
        prediction_type: what the network predicts: epsilon, v_prediction or sample.
        generator: for what the batches leave undrawn (``from_forget``, ``noise_target``).

    Raises:
        NonFiniteGradientError: if a gradient is NaN or infinite.
    """
    names, parameters = _trainable(denoiser)
    for parameter in parameters:
        parameter.grad = None
    buffers = GradientBuffers(parameters)
    geometry = accumulate(as_denoiser(denoiser, alphas_cumprod, prediction_type), method, batches, buffers, generator)
    combination = method.combine(_finite(geometry))
    gradient = buffers.combine(combination)
    if combination.step_size != 1:
        torch._foreach_mul_(gradient, combination.step_size)
    return dict(zip(names, gradient, strict=True))


class FineTuner:
    """Applies one method to one network, step by step.

    Args:
        denoiser: the model to change; its trainable parameters are updated in place.
        method: the unlearning method.
        learning_rate, betas, weight_decay: of AdamW.
        max_grad_norm: the combined gradient is clipped to this global L2 norm.
        limit: rows of a batch that memory holds; each step finds its own where None.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        method: Method,
        *,
        learning_rate: float,
        betas: tuple[float, float],
        weight_decay: float,
        max_grad_norm: float,
        limit: RowLimit | None = None,
    ) -> None:
        _, parameters = _trainable(denoiser.network)
        self.denoiser = denoiser
        self.method = method
        self.max_grad_norm = max_grad_norm
        self.learning_rate = learning_rate
        self.limit = limit
        self.buffers = GradientBuffers(parameters)
        # On a GPU torch's default copies all parameters in every update (4 bytes each); fused copies none. On a CPU it
        # goes parameter by parameter anyway, and fused would change every figure in the last digit.
        fused = all(parameter.is_cuda for parameter in parameters)
        self.optimiser = torch.optim.AdamW(
            parameters, lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=fused
        )

    def step(
        self, batches: Sequence[ForgetRetainBatch], generator: torch.Generator | None = None, *, warmup: float = 1.0
    ) -> StepStats:
        """One update, with ``warmup`` in (0, 1] as a factor on the learning rate.

        Raises:
            NonFiniteGradientError: if a gradient is NaN or infinite; the weights and the optimiser are then untouched.
        """
        geometry = _finite(accumulate(self.denoiser, self.method, batches, self.buffers, generator, self.limit))
        combination = self.method.combine(geometry)
        gradient = self.buffers.combine(combination)
        norm = float(_global_norm(gradient))
        if not math.isfinite(norm):
            raise NonFiniteGradientError(f"the combined gradient must be finite, but its norm is {norm}")
        if norm > self.max_grad_norm:
            torch._foreach_mul_(gradient, self.max_grad_norm / norm)
        for parameter, value in zip(self.buffers.parameters, gradient, strict=True):
            parameter.grad = value
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * warmup * combination.step_size
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return StepStats(geometry, combination, norm)


def _trainable(network: nn.Module) -> tuple[list[str], list[nn.Parameter]]:
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    return [name for name, _ in named], [parameter for _, parameter in named]


def _global_norm(tensors: Sequence[Tensor] | None) -> Tensor:
    if not tensors:
        return torch.zeros((), dtype=torch.float64)
    # float64: the squares of many parameters in float32 lose digits that gradient rules divide by.
    norms = torch.stack([torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in tensors])
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm


def _inner_product(one: Sequence[Tensor] | None, other: Sequence[Tensor] | None) -> Tensor:
    if not (one and other):
        return torch.zeros((), dtype=torch.float64)
    return torch.stack([torch.sum(x * a, dtype=torch.float64) for x, a in zip(one, other, strict=True)]).sum()


def _finite(geometry: GradientGeometry) -> GradientGeometry:
    for name, value in vars(geometry).items():
        if not math.isfinite(value):
            raise NonFiniteGradientError(f"gradients must be finite, but {name} is {value}")
    return geometry
