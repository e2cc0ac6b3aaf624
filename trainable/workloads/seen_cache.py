"""What was seen of a data set, kept on this machine by content: later studies of the same images look at none again.

The key is a hash over images, networks, their preprocessing (the code of ``metrics`` and of the workloads) and what
computed it: whatever changes, the key changes, and nothing is updated in place. What is kept is descriptors, features
and hashes of pixels, and no picture. ``UNLEARNING_CACHE`` names the directory; it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from trainable.checkpoint import load_state, save_state, sync
from trainable.content import content_digest
from trainable.failure import TrialFailure

_PROJECT: Final = Path(__file__).resolve().parents[2]
_PREPROCESSING: Final = ("metrics", "trainable/workloads")
#: What decodes images, and what networks are of.
_PACKAGES: Final = ("torch", "torchvision", "torch-fidelity", "pillow", "numpy")


@dataclass(frozen=True)
class Seen:
    """Of each image: SHA-256 of its pixels, descriptor (N, D) and, where a network gives them, features (N, D)."""

    digests: list[bytes]
    descriptors: Tensor
    features: Tensor | None


class SeenCache:
    """The place of one data set, seen through certain networks.

    Args:
        images: a file or folder.
        shape: (C, H, W) that its images are read as.
        networks: files of the networks that give descriptors and features, or names of published ones.
        device: where that is computed.
    """

    def __init__(
        self, images: str, shape: tuple[int, int, int], networks: Sequence[str | None], device: torch.device
    ) -> None:
        self._files, self._shape, self._device = (images, *networks), shape, device

    @cached_property
    def place(self) -> Path:
        """The directory of it. Reads all images: a trial, which is told what was prepared, need not ask."""
        sources = [file for part in _PREPROCESSING for file in sorted((_PROJECT / part).rglob("*.py"))]
        digests = [content_digest(location) for location in (*self._files, *map(str, sources))]
        arithmetic = (self._device.type, torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32,
                      torch.get_num_threads())  # fmt: skip
        parts = [digests, self._shape, arithmetic, [_version(name) for name in _PACKAGES]]
        return cache_directory() / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def recall(self) -> Seen | None:
        """What was kept; None where there is nothing, or it is damaged."""
        try:
            kept = load_state(self.place, torch.device("cpu"))
            digests = [bytes(row.tolist()) for row in kept["digests"]]
            return Seen(digests, kept["descriptors"], kept["features"])
        except (TrialFailure, OSError, RuntimeError, KeyError):
            return None

    def keep(self, seen: Seen) -> None:
        """Keep it for later, whole and with a checksum or not at all; where there is no room for it, not."""
        digests = torch.tensor([list(digest) for digest in seen.digests], dtype=torch.uint8)
        with suppress(OSError, RuntimeError):
            self.place.mkdir(parents=True, exist_ok=True)
            save_state(self.place, {"digests": digests, "descriptors": seen.descriptors, "features": seen.features})
            sync(self.place)


def cache_directory() -> Path:
    """Where things are kept by content: ``UNLEARNING_CACHE``, or ``unlearning`` in the user's cache directory."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "unlearning"
    return Path(os.environ.get("UNLEARNING_CACHE") or default).expanduser()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
