"""The Ray Tune trainable: one actor, one trial at a time, one report at each rung."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from trainable.failure import ENDING
from trainable.plan import TrialPlan
from trainable.trial import TrialRunner


class UnlearningTrainable(Trainable):  # type: ignore[misc]
    """Runs trials of a study; the plan comes by ``tune.with_parameters``, the configuration from the searcher."""

    def setup(self, config: dict[str, Any], plan: TrialPlan) -> None:
        self._runner = TrialRunner(plan)
        self._runner.start(config)

    def step(self) -> dict[str, Any]:
        report = self._runner.advance()
        return {**report, "done": self._runner.finished or ENDING in report}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self._runner.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self._runner.load(Path(checkpoint_dir))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial without loading model and data again."""
        self._runner.start(new_config)
        return True


def threads_for(cpus_per_trial: float) -> int:
    """Torch threads of a worker: one for each whole core it was given, at least one."""
    return max(1, math.floor(cpus_per_trial))
