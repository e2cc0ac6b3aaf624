"""A trainable that trains nothing and reports made-up values, to be run by real Ray Tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray import tune


def pretender(steps: Sequence[int], measure: Callable[[int, int], dict[str, float]]) -> type[tune.Trainable]:
    """A class made here, so that Ray pickles it by value: workers cannot import test modules.

    Args:
        steps: of the reports.
        measure: (trial's number, rung) → metrics; must hold nothing of a test module either.
    """

    class Pretend(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.rung, self.number = 0, int(config["trial_id"])
            return True

        def step(self) -> dict[str, Any]:
            measured = measure(self.number, self.rung)
            self.rung += 1
            return {"step": steps[self.rung - 1], "rung": self.rung - 1, "done": self.rung == len(steps), **measured}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            Path(checkpoint_dir, "rung").write_text(str(self.rung))
            Path(checkpoint_dir, f"reports-{self.rung}").touch()

        def load_checkpoint(self, checkpoint: str) -> None:
            self.rung = int(Path(checkpoint, "rung").read_text())

    return Pretend
