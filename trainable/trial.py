"""One trial without Ray: train to the next rung, report, and so on; the state can be taken out and put back."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch

from diffusion.rng import stream
from metrics import flatten
from trainable.checkpoint import save_weights
from trainable.evaluation import evaluate, evaluation_rows
from trainable.failure import OUT_OF_MEMORY_REMEDY, TrialFailure
from trainable.finetune import FineTuner, NonFiniteGradientError, training_rows
from trainable.methods import METHODS
from trainable.methods.method import Method
from trainable.pictures import draw
from trainable.plan import TrialPlan

#: Keys of a trial's configuration that are not hyper-parameters of its method.
RESERVED = ("trial_id", "method", "seed", "repeat")
_RATIO = "_ratio"


class TrialRunner:
    """Runs trials of one study one after another; model and data are loaded once.

    Args:
        plan: what the trials have in common.
    """

    def __init__(self, plan: TrialPlan) -> None:
        self.plan = plan
        self.workload = plan.source.open()
        self.denoiser = plan.source.load(self.workload, plan.source.settings.model)
        self.subject = self.workload.subject(plan.prepared)
        self.training_rows = training_rows(plan.training.batch_size)
        self.evaluation_rows = evaluation_rows(plan.fidelity)
        self._is_untouched = True

    def start(self, config: Mapping[str, Any]) -> None:
        """Begin the trial ``config`` from the untouched model."""
        self.config = dict(config)
        self._put_back()
        self.denoiser.network.train()
        training = self.plan.training
        self.method = build_method(config)
        self.tuner = FineTuner(
            self.denoiser,
            self.method,
            learning_rate=training.learning_rate,
            betas=training.adam_betas,
            weight_decay=training.weight_decay,
            max_grad_norm=training.max_grad_norm,
            limit=self.training_rows,
        )
        self.optimiser_step = 0
        self.rung = 0
        self.degenerate_steps = 0
        self._degenerate_in_a_row = 0
        self._norms: list[tuple[float, float]] = []

    @property
    def finished(self) -> bool:
        return self.rung >= len(self.plan.training.rungs)

    def advance(self) -> dict[str, Any]:
        """Train to the next rung and report.

        Raises:
            TrialFailure: "diverged", "degenerate" or "out of memory".
        """
        try:
            began = time.perf_counter()
            self._norms = []
            self.workload.offload()
            while self.optimiser_step < self.plan.training.rungs[self.rung]:
                self._train_step()
            trained = time.perf_counter()
            report = self._report()
            report |= {"training_seconds": trained - began, "evaluation_seconds": time.perf_counter() - trained}
        except torch.OutOfMemoryError as error:
            raise TrialFailure("out of memory", f"{error}; {OUT_OF_MEMORY_REMEDY}") from error
        self.rung += 1
        return report

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on bit for bit."""
        return {
            "network": self.denoiser.network.state_dict(),
            "optimiser": self.tuner.optimiser.state_dict(),
            "optimiser_step": self.optimiser_step,
            "rung": self.rung,
            "degenerate_steps": self.degenerate_steps,
            "degenerate_in_a_row": self._degenerate_in_a_row,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state`` took out; the trial must have been started with the same configuration."""
        self.denoiser.network.load_state_dict(state["network"])
        self.tuner.optimiser.load_state_dict(state["optimiser"])
        self.optimiser_step = state["optimiser_step"]
        self.rung = state["rung"]
        self.degenerate_steps = state["degenerate_steps"]
        self._degenerate_in_a_row = state["degenerate_in_a_row"]

    def _put_back(self) -> None:
        """The untouched weights, read again rather than kept: a copy would take as much memory as the model."""
        if not self._is_untouched:
            untouched = self.workload.load(self.plan.source.settings.model).network
            self.denoiser.network.load_state_dict(untouched.state_dict())
        self._is_untouched = False

    def _train_step(self) -> None:
        training, seed, step = self.plan.training, self.config["seed"], self.optimiser_step
        batches = [
            self.workload.batch(
                self.plan.prepared, seed, step, index, training.batch_size, with_neighbours=self.method.needs_neighbours
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
        limit = self.plan.training.max_degenerate_steps
        if self._degenerate_in_a_row >= limit:
            raise TrialFailure("degenerate", f"no forget gradient in {limit} steps in a row; for SISS raise lambd")

    def _report(self) -> dict[str, Any]:
        evidence, measured = evaluate(
            self.plan.metrics,
            self.denoiser,
            self.subject,
            self.plan.fidelity,
            self.plan.evaluation_seed,
            self.evaluation_rows,
        )
        report: dict[str, Any] = dict(self.config)
        report |= {"step": self.optimiser_step, "rung": self.rung, "forget_image": self.workload.forget_name}
        report |= flatten(measured)
        retain_norm, forget_norm = (sum(norms) / len(norms) for norms in zip(*self._norms, strict=True))
        report |= {
            "degenerate_steps": self.degenerate_steps,
            "retain_gradient_norm": retain_norm,
            "forget_gradient_norm": forget_norm,
            "peak_memory_gb": peak_memory_gb(),
            "micro_batch_size": self.training_rows.rows,
            "evaluation_batch_size": self.evaluation_rows.rows,
            "news": [*self.training_rows.news(), *self.evaluation_rows.news()],
        }
        name = f"{self.config['trial_id']}-{self.optimiser_step}"
        if self.plan.candidates:
            save_weights(self.denoiser.network, self.plan.candidates / f"{name}.safetensors")
        if self.plan.images:
            drawn = draw(evidence, self.plan.images, name, forget_images=self.plan.log_forget_images)
            report["images"] = {f"{kind}-{self.optimiser_step:05d}": str(path) for kind, path in drawn.items()}
        return report


def peak_memory_gb() -> float:
    """Largest resident memory of this process so far, in 2^30 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def build_method(config: Mapping[str, Any]) -> Method:
    """The method of a trial's configuration, from its own hyper-parameters only."""
    settings = {k: v for k, v in config.items() if k not in RESERVED and not k.endswith(_RATIO)}
    return METHODS[config["method"]](**settings)
