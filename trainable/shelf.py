"""Where the models of a trial wait for their turn, when it trains one for each forget image."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from trainable.checkpoint import load_state, save_state


class Shelf:
    """States by the index of their forget set, in files: in memory, each would take 12 bytes a weight.

    Args:
        device: where states are taken to.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._folder = TemporaryDirectory(prefix="unlearning-")

    def put(self, index: int, state: dict[str, Any]) -> None:
        """Keep a state, in the place of an earlier one."""
        place = self._place(index)
        place.mkdir(exist_ok=True)
        save_state(place, state)

    def take(self, index: int) -> dict[str, Any] | None:
        """The state, if there is one."""
        place = self._place(index)
        return load_state(place, self._device) if place.is_dir() else None

    def clear(self) -> None:
        """Drop all of them."""
        for place in Path(self._folder.name).iterdir():
            shutil.rmtree(place)

    def copy_to(self, index: int, directory: Path) -> None:
        """Copy a state's files into a directory, which is made where it is missing."""
        shutil.copytree(self._place(index), directory, dirs_exist_ok=True)

    def copy_from(self, index: int, directory: Path) -> None:
        """Keep the state whose files lie in a directory."""
        shutil.copytree(directory, self._place(index), dirs_exist_ok=True)

    def _place(self, index: int) -> Path:
        return Path(self._folder.name) / str(index)
