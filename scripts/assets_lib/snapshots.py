"""The whole state of a training on disk, so that one that was stopped goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch


class Stateful(Protocol):
    """A module or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def save(path: Path, config: Mapping[str, Any], parts: Mapping[str, Stateful], **numbers: Any) -> None:
    """Write it, atomically; ``numbers`` are what has no state of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"config": config, **{name: part.state_dict() for name, part in parts.items()}, **numbers}, partial)
    os.replace(partial, path)


def load(path: Path, config: Mapping[str, Any], parts: Mapping[str, Stateful]) -> dict[str, Any] | None:
    """Give the parts what was written, and return the rest; None where nothing was.

    Raises:
        ValueError: it is of another configuration.
    """
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True)
    if state["config"] != config:
        raise ValueError(
            f"the snapshot {path} must be of this configuration ({config}), but is of {state['config']}: remove it, or "
            "give the flags it was made with"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state
