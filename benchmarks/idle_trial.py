"""A trial that trains nothing: its process holds little more than Ray itself needs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from ray import tune

STEPS: Final = (10, 20, 40, 80)
_POLL_SECONDS: Final = 0.5


class Idle(tune.Trainable):  # type: ignore[misc]
    """Waits, reports what it draws at random, and says when that was."""

    def setup(self, config: dict[str, Any], period: float, gate: Path, places: int) -> None:
        """Begins when all have come, so that no process starts while others are measured.

        Args:
            config: of the first trial.
            period: seconds between two reports.
            gate: a folder in which each process leaves its name.
            places: how many have to come.
        """
        (gate / str(os.getpid())).touch()
        while len(os.listdir(gate)) < places:
            time.sleep(_POLL_SECONDS)
        self._period = period
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._draw, self._rung = np.random.default_rng(int(new_config["seed"])), 0
        return True

    def step(self) -> dict[str, Any]:
        time.sleep(self._period)
        forgotten, cost = self._draw.uniform(size=2)
        measured = {"sscd": 0.9 - 0.8 * forgotten, "nll": 3.0 + 3.0 * forgotten, "fid": 10.0 + 6.0 * cost}
        rung, self._rung = self._rung, self._rung + 1
        place = {"step": STEPS[rung], "rung": rung, "forget_image": "none"}
        return {**place, **measured, "sent": time.time(), "done": self._rung == len(STEPS)}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to go on from."""

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to go on from."""
