"""The whole state of a training on disk, so that one that was stopped goes on."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch

logger = logging.getLogger(__name__)


class Stateful(Protocol):
    """A module or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Resumable(ABC):
    """A training with a snapshot; whoever trains sets these attributes.

    Attributes:
        name: of the training.
        config: a dataclass, which a snapshot must be of.
        step: steps that are done.
        losses: of each of them.
    """

    name: str
    config: Any
    step: int
    losses: list[float]

    @property
    @abstractmethod
    def snapshot_path(self) -> Path:
        """Where it lies."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, Stateful]:
        """What else changes in training, by its name in the snapshot."""

    def save_snapshot(self) -> None:
        """Write the whole state, atomically."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        self.snapshot_path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.snapshot_path.with_suffix(".partial")
        torch.save({"config": asdict(self.config), "step": self.step, "losses": self.losses, **states}, partial)
        os.replace(partial, self.snapshot_path)

    def resume(self) -> None:
        """Take up the snapshot, if there is one.

        Raises:
            ValueError: it is of another configuration.
        """
        if not self.snapshot_path.exists():
            return
        state = torch.load(self.snapshot_path, weights_only=True)
        if state["config"] != asdict(self.config):
            raise ValueError(
                f"the snapshot {self.snapshot_path} must be of this configuration ({asdict(self.config)}), but is of "
                f"{state['config']}: remove it, or give the flags it was made with"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.step, self.losses = state["step"], state["losses"]
        logger.info("%s resumes at step %d", self.name, self.step)
