"""What each part of the evidence cost: network rows and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass
class Cost:
    """The price of one part of the evidence.

    Attributes:
        network_rows: images through the network, forward, each call counted by its batch size. A row of a likelihood
            also pays for the vector-Jacobian products of its probes, which are not counted here.
        seconds: wall-clock time, encoders included, the device waited for.
    """

    network_rows: int = 0
    seconds: float = 0.0


@contextmanager
def accounted(network: nn.Module) -> Iterator[Cost]:
    """Count the rows and seconds that the body spends; the ``Cost`` is complete when the body has left."""
    cost = Cost()

    def count(rows: int) -> None:
        cost.network_rows += rows

    _wait(network)
    start = time.perf_counter()
    try:
        with told_of_rows(network, count):
            yield cost
    finally:
        _wait(network)
        cost.seconds = time.perf_counter() - start


@contextmanager
def told_of_rows(network: nn.Module, tell: Callable[[int], None]) -> Iterator[None]:
    """Call ``tell`` with the batch size of every forward pass of the body, before it; what is computed stays."""

    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        tell(len(arguments[0]))

    handle = network.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside; every module is back in its own mode afterwards, also on an error."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def _wait(network: nn.Module) -> None:
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
