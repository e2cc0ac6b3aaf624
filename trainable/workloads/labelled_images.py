"""Images that a prompt made, each labelled as memorised or not: what splits them into forget and retain images.

Where the labels stand is in ``labels``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainable.workloads.images import load_images
from trainable.workloads.labels import LABELS_REMEDY, LABELS_RULE, read_labels


@dataclass(frozen=True)
class LabelledImages:
    """uint8 images (N, C, H, W) and whether each is memorised, (N,) bool."""

    images: Tensor
    memorised: Tensor


def load_labelled(location: str | Path, *, channels: int, size: tuple[int, int]) -> LabelledImages:
    """Images and their labels.

    Args:
        location: an ``.npz`` or a folder.
        channels, size: what every image must have, as in ``load_images``.

    Raises:
        FileNotFoundError, ValueError: as ``load_images``; or labels are missing, or all alike, so that there is nothing
            to forget or nothing to retain.
    """
    path = Path(location)
    images = load_images(path, channels=channels, size=size)
    try:
        memorised = read_labels(path)
    except ValueError as error:
        raise ValueError(f"{LABELS_RULE}, but got {path}, {error}; {LABELS_REMEDY}") from error
    return LabelledImages(images, torch.tensor(memorised))
