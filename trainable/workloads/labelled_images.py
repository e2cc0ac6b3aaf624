"""Images that a prompt made, each labelled as memorised or not: what splits them into forget and retain images.

An ``.npz`` has the arrays ``images`` and ``memorised`` (N,) bool; a folder of pictures has a ``labels.csv`` with the
columns ``file,memorised``, the latter 0 or 1.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainable.workloads.image_files import image_files, is_archive
from trainable.workloads.images import load_images

LABELS_ARRAY, LABELS_FILE = "memorised", "labels.csv"


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
    memorised = torch.tensor(read_labels(path))
    if len(memorised) != len(images):
        raise ValueError(f"every image of {path} must have a label, but {len(images)} images have {len(memorised)}")
    if bool(memorised.all()) or not bool(memorised.any()):
        kind = "memorised" if bool(memorised.all()) else "not memorised"
        raise ValueError(f"{path} must hold images of both kinds, but all of them are {kind}: generate more of them")
    return LabelledImages(images, memorised)


def read_labels(path: Path) -> list[bool]:
    """Whether each image of a location is memorised, in the order of ``load_images``.

    Raises:
        ValueError: there are no labels, or they cannot be read.
    """
    return _archive_labels(path) if is_archive(path) else _folder_labels(path)


def _archive_labels(path: Path) -> list[bool]:
    with np.load(path, allow_pickle=False) as archive:
        if LABELS_ARRAY not in archive or archive[LABELS_ARRAY].dtype != np.bool_:
            raise ValueError(f"labelled images must have a bool array {LABELS_ARRAY!r}, but {path} has none")
        return [bool(label) for label in archive[LABELS_ARRAY]]


def _folder_labels(folder: Path) -> list[bool]:
    file = folder / LABELS_FILE
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            labels = {row["file"]: {"0": False, "1": True}[row["memorised"]] for row in csv.DictReader(stream)}
        return [labels[image.name] for image in image_files(folder)]
    except FileNotFoundError:
        raise ValueError(f"labelled images must have a {LABELS_FILE}, but {folder} has none") from None
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} must give file,memorised (0 or 1) of every picture in UTF-8, but: {error}") from None
