"""The published implementation of SISS, loaded from a clone that somebody has, for side-by-side measurement.

Nothing of it is copied: its loss and its likelihood are called as they are, and what its training loop does around the
loss is done here by the same operations, so that a step costs what it costs there.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from trainable.batch import ForgetRetainBatch

ADDRESS: Final = "https://github.com/claserken/SISS"
_LOSS: Final = Path("losses", "ddpm_deletion_loss.py")
_LIKELIHOOD: Final = Path("metrics", "song_likelihood")


class NoCloneError(ValueError):
    """There is no clone at the path that was given; the message says what is missing."""


def checked(clone: Path) -> Path:
    """The path of a clone.

    Raises:
        NoCloneError: something that is called is not there.
    """
    for file in (clone / _LOSS, clone / _LIKELIHOOD / "likelihood.py"):
        _must_be_there(file)
    return clone


def mixture_mask(size: int, lambd: float, seed: int) -> Tensor:
    """(B,) bool, True for forget rows: what the published loss draws from torch's own generator seeded with `seed`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, generator=generator) <= lambd


class PublicSISS:
    """One optimiser step of the published implementation.

    Args:
        clone: of the public repository.
        denoiser: the network to change, which predicts epsilon.
        lambd, scaling_norm: of SISS.
        seed: of the mixture's mask, the same in every step.
        learning_rate: of AdamW.

    Raises:
        NoCloneError: the loss is not there.
    """

    def __init__(
        self, clone: Path, denoiser: Denoiser, *, lambd: float, scaling_norm: float, seed: int, learning_rate: float
    ) -> None:
        alphas_cumprod = denoiser.schedule.alphas_cumprod.float()
        self._gamma, self._sigma = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
        loss = _module(clone / _LOSS).DDPMDeletionLoss(gamma=self._gamma, sigma=self._sigma)
        self._loss = loss.importance_sampling_with_mixture
        self._network, self._lambd, self._scaling_norm, self._seed = denoiser.network, lambd, scaling_norm, seed
        self._optimiser = torch.optim.AdamW(self._network.parameters(), lr=learning_rate)

    def step(self, batches: Sequence[ForgetRetainBatch]) -> None:
        """One update."""
        for name, gradient in self.gradient(batches).items():
            self._network.get_parameter(name).grad = gradient
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad()

    def gradient(self, batches: Sequence[ForgetRetainBatch]) -> dict[str, Tensor]:
        """The combined gradient before clipping, by parameter name: two backward passes a batch, copied apart."""
        self._network.zero_grad()
        forget: dict[str, Tensor] = {}
        for batch in batches:
            retain_loss, forget_loss = self._losses(batch)
            retain_loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
            before = {name: _grad(parameter).clone() for name, parameter in self._network.named_parameters()}
            forget_loss.backward()  # type: ignore[no-untyped-call]
            for name, parameter in self._network.named_parameters():
                new = _grad(parameter).clone() - before[name]
                forget[name] = forget[name] + new if name in forget else new
        norm = torch.sqrt(sum((torch.norm(value) ** 2 for value in forget.values()), torch.zeros(())))
        scale = self._scaling_norm / norm
        return {
            name: _grad(parameter).clone() - forget[name] - scale * forget[name]
            for name, parameter in self._network.named_parameters()
        }

    def _losses(self, batch: ForgetRetainBatch) -> tuple[Tensor, Tensor]:
        gamma = self._gamma[batch.timesteps].view(-1, 1, 1, 1)
        sigma = self._sigma[batch.timesteps].view(-1, 1, 1, 1)
        retain, forget = (
            {"og_latents": images, "noisy_latents": gamma * images + sigma * batch.noise}
            for images in (batch.retain, batch.forget)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            *_, weighted_retain, weighted_forget = self._loss(
                self._network, batch.timesteps, batch.noise, {}, retain, forget, self._lambd
            )
        return weighted_retain.sum() / len(batch), weighted_forget.sum() / len(batch)


class PublicLikelihood:
    """The published likelihood: RK45 at its default tolerance, in its own conventions.

    Args:
        clone: of the public repository.

    Raises:
        NoCloneError: the likelihood is not there.
    """

    def __init__(self, clone: Path) -> None:
        package = ModuleType("public_likelihood")
        for name in [name for name in sys.modules if name.startswith(f"{package.__name__}.")]:
            del sys.modules[name]  # of another clone, or of this one before: its modules know each other's classes
        package.__path__ = [str(clone / _LIKELIHOOD)]
        sys.modules[package.__name__] = package  # whose modules import each other by relative names
        equations, likelihood = (
            _module(clone / _LIKELIHOOD / f"{name}.py", f"{package.__name__}.{name}")
            for name in ("sde_lib", "likelihood")
        )
        self._function = likelihood.get_likelihood_fn(equations.VPSDE())

    def __call__(self, network: torch.nn.Module, images: Tensor, seed: int) -> tuple[Tensor, int]:
        """Bits per dimension (B,), and evaluations: each two forward passes and a vector-Jacobian product."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            bits, _, num_evaluations = self._function(network, images)
        return bits, int(num_evaluations)


def published_probes(images: Tensor, seed: int) -> Tensor:
    """(1, *images.shape) of ±1, those that the published likelihood draws when torch is seeded with ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (torch.randint_like(images, low=0, high=2).float() * 2 - 1).unsqueeze(0)


def _grad(parameter: torch.nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise ValueError("every parameter must take part in the loss, but one has no gradient")
    return parameter.grad


def _module(file: Path, name: str = "public_loss") -> Any:
    """A file of the clone as a module of that name."""
    _must_be_there(file)
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise NoCloneError(f"{file} must be a Python module, but cannot be read as one")
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _must_be_there(file: Path) -> None:
    if not file.is_file():
        raise NoCloneError(f"a clone of {ADDRESS} must have {file}, but it is not there; give --siss another path")
