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
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainable.content import content_digest

_PROJECT: Final = Path(__file__).resolve().parents[2]
_PREPROCESSING: Final = ("metrics", "trainable/workloads")


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
        sources = [file for part in _PREPROCESSING for file in sorted((_PROJECT / part).rglob("*.py"))]
        given = [content_digest(location) for location in (images, *networks, *map(str, sources))]
        parts = [given, shape, device.type, torch.__version__]
        self._file = cache_directory() / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}.safetensors"

    def recall(self) -> Seen | None:
        """What was kept; None where there is nothing that can be read."""
        try:
            kept = load_file(self._file)
            digests = [bytes(row.tolist()) for row in kept["digests"]]
            return Seen(digests, kept["descriptors"], kept.get("features"))
        except (OSError, SafetensorError, KeyError):
            return None

    def keep(self, seen: Seen) -> None:
        """Keep it for later, whole or not at all; where there is no room for it, not."""
        tensors = {"digests": torch.tensor([list(digest) for digest in seen.digests], dtype=torch.uint8)}
        tensors |= {"descriptors": seen.descriptors.contiguous()}
        if seen.features is not None:
            tensors |= {"features": seen.features.contiguous()}
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.tmp")
        with suppress(OSError, SafetensorError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, temporary)
            os.replace(temporary, self._file)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def cache_directory() -> Path:
    """Where things are kept by content: ``UNLEARNING_CACHE``, or ``unlearning`` in the user's cache directory."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "unlearning"
    return Path(os.environ.get("UNLEARNING_CACHE") or default).expanduser()
