"""A resumable training on one core: any module, any loss, one loop.

The random stream of a step is a function of (seed, step) alone, so that a training that was taken up again draws what
it would have drawn.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from scripts.assets_lib.snapshots import Resumable, Stateful

logger = logging.getLogger(__name__)
Loss = Callable[[torch.Generator], Tensor]
ModuleType = TypeVar("ModuleType", bound=nn.Module)


@dataclass(frozen=True)
class LoopConfig:
    """Hyper-parameters of one training; an `ema_decay` of 0 takes the last weights."""

    steps: int
    peak_lr: float
    warmup_steps: int = 100
    ema_decay: float = 0.0
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    seed: int = 0
    log_every: int = 100
    save_every: int = 250


def learning_rate(step: int, config: LoopConfig) -> float:
    """Linear warm-up to `peak_lr`, then a cosine to zero at `config.steps`."""
    if step < config.warmup_steps:
        return config.peak_lr * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.peak_lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random stream of one step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


class TrainingLoop(Resumable, Generic[ModuleType]):
    """AdamW on `loss`, a function of a step's random stream that calls `module`; snapshots in `scratch`/`name`.pt."""

    def __init__(self, name: str, module: ModuleType, loss: Loss, config: LoopConfig, scratch: Path) -> None:
        self.name, self.module, self.loss, self.config, self.scratch = name, module, loss, config, scratch
        self.averaged = copy.deepcopy(module).requires_grad_(False) if config.ema_decay else module
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.peak_lr, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        self.step = 0
        self.losses: list[float] = []

    @property
    def snapshot_path(self) -> Path:
        return self.scratch / f"{self.name}.pt"

    def run(self) -> ModuleType:
        """Train to the last step, from the snapshot where there is one; returns the averaged module, to evaluate."""
        self.resume()
        started, first = time.monotonic(), self.step
        self.module.train()
        while self.step < self.config.steps:
            self.losses.append(self.train_step())
            self.step += 1
            if self.step % self.config.log_every == 0:
                self.report((time.monotonic() - started) / (self.step - first))
            if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                self.save_snapshot()
        return self.averaged.eval()

    def train_step(self) -> float:
        """One optimiser step; returns the loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        loss = self.loss(step_generator(self.config.seed, self.step))
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss must be finite, but is {loss.item()} at step {self.step}: lower peak_lr"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip)
        self.optimizer.step()
        if self.averaged is not self.module:
            self.update_average()
        return loss.item()

    @torch.no_grad()
    def update_average(self) -> None:
        """average += (1 - decay)(weights - average), with a shorter memory over the first steps."""
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.module.parameters()), 1.0 - decay)

    def report(self, seconds_per_step: float) -> None:
        """Log the mean loss of the last `log_every` steps and the time left."""
        recent = self.losses[-self.config.log_every :]
        left = seconds_per_step * (self.config.steps - self.step) / 60
        logger.info(
            "%s step %d/%d loss %.5f %.3f s/step %.1f min left",
            self.name, self.step, self.config.steps, sum(recent) / len(recent), seconds_per_step, left,
        )  # fmt: skip

    @property
    def parts(self) -> dict[str, Stateful]:
        return {"module": self.module, "averaged": self.averaged, "optimizer": self.optimizer}
