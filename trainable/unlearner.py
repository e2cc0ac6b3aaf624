"""One model that unlearns one set of forget images with one method; its state can be taken out and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from trainable.failure import TrialFailure
from trainable.finetune import FineTuner, NonFiniteGradientError
from trainable.memory import RowLimit
from trainable.methods import METHODS
from trainable.methods.method import Method
from trainable.plan import TrainingSettings
from trainable.workloads.workload import Prepared, Workload

#: Keys of a trial's configuration that are not hyper-parameters of its method.
RESERVED = ("trial_id", "method", "seed", "repeat")
_RATIO = "_ratio"


class Unlearner:
    """Trains ``denoiser``, which begins as the untouched model.

    Args:
        denoiser: its network is changed in place.
        workload: where batches come from.
        prepared: what the workload prepared once.
        training: what all trials of the study have in common.
        config: the trial's method, hyper-parameters and seed.
        rows: of a batch that memory holds.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        workload: Workload,
        prepared: Prepared,
        training: TrainingSettings,
        config: Mapping[str, Any],
        rows: RowLimit | None = None,
    ) -> None:
        self.denoiser, self.workload, self.prepared, self.training = denoiser, workload, prepared, training
        self.seed: int = config["seed"]
        self.method = build_method(config)
        self.tuner = FineTuner(
            denoiser,
            self.method,
            learning_rate=training.learning_rate,
            betas=training.adam_betas,
            weight_decay=training.weight_decay,
            max_grad_norm=training.max_grad_norm,
            limit=rows,
        )
        self.optimiser_step = 0
        self.degenerate_steps = 0
        self._degenerate_in_a_row = 0
        self._norms: list[tuple[float, float]] = []

    def train_to(self, step: int) -> None:
        """Train until ``step`` optimiser steps are done.

        Raises:
            TrialFailure: "diverged" or "degenerate".
        """
        self._norms = []
        self.denoiser.network.train()
        while self.optimiser_step < step:
            self.train_step()

    @property
    def gradient_norms(self) -> dict[str, float]:
        """Mean norms of both gradients over the steps of the last ``train_to``."""
        retain, forget = (sum(norms) / len(norms) for norms in zip(*self._norms, strict=True))
        return {"retain_gradient_norm": retain, "forget_gradient_norm": forget}

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on bit for bit."""
        return {
            "network": self.denoiser.network.state_dict(),
            "optimiser": self.tuner.optimiser.state_dict(),
            "optimiser_step": self.optimiser_step,
            "degenerate_steps": self.degenerate_steps,
            "degenerate_in_a_row": self._degenerate_in_a_row,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state`` took out of an unlearner of the same arguments."""
        self.denoiser.network.load_state_dict(state["network"])
        self.tuner.optimiser.load_state_dict(state["optimiser"])
        self.optimiser_step = state["optimiser_step"]
        self.degenerate_steps = state["degenerate_steps"]
        self._degenerate_in_a_row = state["degenerate_in_a_row"]

    def train_step(self) -> None:
        """One optimiser step."""
        training, seed, step = self.training, self.seed, self.optimiser_step
        batches = [
            self.workload.batch(
                self.prepared, seed, step, index, training.batch_size, with_neighbours=self.method.needs_neighbours
            )
            for index in range(training.accumulation)
        ]
        try:
            # AdamW's first steps have the size of the learning rate whatever the gradient; a warm-up keeps them small.
            warmup = min(1.0, (step + 1) / max(1, training.warmup_steps))
            stats = self.tuner.step(batches, stream(seed, "method", step, device=self.workload.device), warmup=warmup)
        except NonFiniteGradientError as error:
            raise TrialFailure("diverged", f"at step {step}: {error}; lower learning_rate or scaling_norm") from error
        self.optimiser_step += 1
        self._norms.append((stats.geometry.retain_norm, stats.geometry.forget_norm))
        self._count_degenerate(stats.combination.degenerate)

    def _count_degenerate(self, degenerate: bool) -> None:
        self.degenerate_steps += degenerate
        self._degenerate_in_a_row = self._degenerate_in_a_row + 1 if degenerate else 0
        limit = self.training.max_degenerate_steps
        if self._degenerate_in_a_row >= limit:
            raise TrialFailure("degenerate", f"no forget gradient in {limit} steps in a row; for SISS raise lambd")


def build_method(config: Mapping[str, Any]) -> Method:
    """The method of a trial's configuration, from its own hyper-parameters only."""
    settings = {k: v for k, v in config.items() if k not in RESERVED and not k.endswith(_RATIO)}
    return METHODS[config["method"]](**settings)
