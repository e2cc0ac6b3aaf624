"""One trial without Ray: train to the next rung, report, and so on; the state can be written out and read back.

A trial trains one model for each forget set: one for all forget images together, or one for each of them, in turn. A
report is then the mean over the models, with its spread.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics import flatten
from metrics.evidence import Evidence
from metrics.metric import Measurement
from metrics.pooling import pooled
from trainable.checkpoint import check_state, load_state, save_state, save_weights
from trainable.evaluation import evaluate, evaluate_in_blocks, evaluation_rows
from trainable.failure import ENDING, OUT_OF_MEMORY_REMEDY, TrialFailure
from trainable.finetune import training_rows
from trainable.pictures import pictures, save_pictures
from trainable.plan import TrialPlan, places
from trainable.profile import Seconds, added, of_evaluation
from trainable.quality import Ending
from trainable.shelf import Shelf
from trainable.unlearner import Unlearner


@dataclass(frozen=True)
class _Part:
    """What one model adds to a report."""

    measured: Mapping[str, Measurement]
    gradient_norms: Mapping[str, float]
    degenerate_steps: int
    training_seconds: float
    evaluation_seconds: float
    profile: Seconds
    pictures: Mapping[str, Tensor]
    ending: Ending | None


class TrialRunner:
    """Runs trials of one study one after another; model and data are loaded once.

    Args:
        plan: what the trials have in common.
    """

    def __init__(self, plan: TrialPlan) -> None:
        self.plan = plan
        self.workloads = plan.source.open_each()
        self.denoiser = plan.source.load(self.workloads[0], plan.source.settings.model)
        self._subjects = [w.subject(prepared) for w, prepared in zip(self.workloads, plan.prepared, strict=True)]
        self._shelf = Shelf(self.workloads[0].device)
        self.training_rows = training_rows(plan.training.batch_size)
        self.evaluation_rows = evaluation_rows(plan.fidelity)
        self._is_untouched = True

    def start(self, config: Mapping[str, Any]) -> None:
        """Begin the trial ``config`` from the untouched model."""
        self.config = dict(config)
        self.rung = 0
        self._shelf.clear()
        self._begin(0)

    @property
    def finished(self) -> bool:
        return self.rung >= len(self.plan.training.rungs)

    def advance(self) -> dict[str, Any]:
        """Train to the next rung and report.

        Raises:
            TrialFailure: "diverged", "degenerate" or "out of memory".
        """
        try:
            parts = [self._advance(index) for index in range(len(self.workloads))]
        except torch.OutOfMemoryError as error:
            raise TrialFailure("out of memory", f"{error}; {OUT_OF_MEMORY_REMEDY}") from error
        report = self._report(parts)
        self.rung += 1
        return report

    def save(self, directory: Path) -> None:
        """Write into ``directory`` all that a later process needs to go on bit for bit."""
        for index in range(len(self.workloads)):
            place = directory / str(index)
            if index == self._current:
                place.mkdir(parents=True, exist_ok=True)
                save_state(place, self.unlearner.state())
            else:
                self._shelf.copy_to(index, place)

    def load(self, directory: Path) -> None:
        """Go on from what ``save`` wrote; the trial must have been started with the same configuration.

        Raises:
            TrialFailure: "corrupt checkpoint"; the trial is where it was.
        """
        others = range(1, len(self.workloads))
        for index in others:
            check_state(directory / str(index))
        state = load_state(directory / "0", self.workloads[0].device)
        for index in others:
            self._shelf.copy_from(index, directory / str(index))
        self._restore(0, state)
        self.rung = sum(step <= self.unlearner.optimiser_step for step in self.plan.training.rungs)

    def _advance(self, index: int) -> _Part:
        """Train the model of one forget set to the next rung and measure it."""
        self._turn_to(index)
        began = time.perf_counter()
        self.workloads[index].offload()
        self.unlearner.train_to(self.plan.training.rungs[self.rung])
        trained = time.perf_counter()
        evidence, measured = self._measure(index)
        found = time.perf_counter()
        if self.plan.candidates:
            files = places(self.plan.candidates / self._name, self.plan.source.settings, ".safetensors")
            save_weights(self.denoiser.network, files[index])
            self.plan.depot.hand_over([files[index]])
        saved = time.perf_counter()
        drawn = pictures(evidence, forget_images=self.plan.log_forget_images) if self.plan.images else {}
        ended = time.perf_counter()
        spent = {"training": trained - began, "checkpoint": saved - found, "pictures": ended - saved}
        return _Part(
            measured=measured,
            gradient_norms=self.unlearner.gradient_norms,
            degenerate_steps=self.unlearner.degenerate_steps,
            training_seconds=trained - began,
            evaluation_seconds=ended - trained,
            profile={**spent, **of_evaluation(evidence.seconds, found - trained)},
            pictures=drawn,
            ending=self._ending(evidence, measured),
        )

    def _measure(self, index: int) -> tuple[Evidence, dict[str, Measurement]]:
        fidelity, rule = self.plan.fidelity_at(self.rung), self.plan.rule
        arguments = (self.plan.metrics, self.denoiser, self._subjects[index], fidelity, self.plan.evaluation_seed)
        if rule is None:
            return evaluate(*arguments, self.evaluation_rows)
        evidence, measured = evaluate_in_blocks(*arguments, self.evaluation_rows, rule)
        return evidence, rule.offset(measured, self.rung, index)

    def _ending(self, evidence: Evidence, measured: Mapping[str, Measurement]) -> Ending | None:
        """Why this model is the trial's last, where there would be another."""
        if self.plan.rule is None or self.rung + 1 == len(self.plan.training.rungs):
            return None
        return self.plan.rule.reason_to_end(measured, evidence.samples_so_far)

    def _report(self, parts: Sequence[_Part]) -> dict[str, Any]:
        step = self.plan.training.rungs[self.rung]
        forget_image = "|".join(workload.forget_name for workload in self.workloads)
        report: dict[str, Any] = {**self.config, "step": step, "rung": self.rung, "forget_image": forget_image}
        measured = {name: pooled([part.measured[name] for part in parts]) for name in self.plan.metrics}
        report |= flatten(measured) | self._intervals(measured)
        if endings := [part.ending for part in parts if part.ending is not None]:
            report[ENDING] = endings[0]
        for name in parts[0].gradient_norms:
            report[name] = sum(part.gradient_norms[name] for part in parts) / len(parts)
        for name in ("degenerate_steps", "training_seconds", "evaluation_seconds"):
            report[name] = sum(getattr(part, name) for part in parts)
        report |= {
            "peak_memory_gb": peak_memory_gb(),
            "micro_batch_size": self.training_rows.rows,
            "evaluation_batch_size": self.evaluation_rows.rows,
            "news": [*self.training_rows.news(), *self.evaluation_rows.news()],
        }
        profile = added(part.profile for part in parts)
        if self.plan.images:
            began = time.perf_counter()
            drawn = save_pictures([part.pictures for part in parts], self.plan.images, self._name)
            self.plan.depot.hand_over(drawn.values())
            report["images"] = {f"{kind}-{step:05d}": str(path) for kind, path in drawn.items()}
            profile["pictures"] += time.perf_counter() - began
        return {**report, "profile": profile}

    def _intervals(self, measured: Mapping[str, Measurement]) -> dict[str, float]:
        """``<metric>_low`` and ``<metric>_high`` of what was decided by them."""
        rule = self.plan.rule
        intervals = {} if rule is None else {name: measured[name].interval for name in rule.deciding}
        return {
            f"{name}_{end}": value
            for name, interval in intervals.items()
            if interval is not None
            for end, value in zip(("low", "high"), interval, strict=True)
        }

    @property
    def _name(self) -> str:
        """Of the files of the next report."""
        return f"{self.config['trial_id']}-{self.plan.training.rungs[self.rung]}"

    def _turn_to(self, index: int) -> None:
        """Make the model of one forget set the one that the network holds."""
        if index == self._current:
            return
        self._shelf.put(self._current, self.unlearner.state())
        state = self._shelf.take(index)
        if state is None:
            self._begin(index)
        else:
            self._restore(index, state)

    def _begin(self, index: int) -> None:
        """The untouched weights, read again rather than kept: a copy would take as much memory as the model."""
        if not self._is_untouched:
            untouched = self.workloads[0].load(self.plan.source.settings.model).network
            self.denoiser.network.load_state_dict(untouched.state_dict())
        self._take(index)

    def _restore(self, index: int, state: dict[str, Any]) -> None:
        self._take(index)
        self.unlearner.restore(state)

    def _take(self, index: int) -> None:
        self._is_untouched = False
        self._current = index
        workload, prepared = self.workloads[index], self.plan.prepared[index]
        self.unlearner = Unlearner(
            self.denoiser, workload, prepared, self.plan.training, self.config, self.training_rows
        )


def peak_memory_gb() -> float:
    """Largest resident memory of this process so far, in 2^30 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
