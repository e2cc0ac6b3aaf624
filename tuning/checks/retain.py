"""What is kept and what is forgotten must be told apart: retain images that are nothing but copies, labels that err.

Images are compared by their pixels, one after the other until the first that differs: no large set is read to its end.
"""

from __future__ import annotations

import filecmp
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainable.workloads.image_files import archive_images, archive_shape, image_files, is_archive, read_picture
from trainable.workloads.kinds import KINDS
from trainable.workloads.labels import LABELS_REMEDY, LABELS_RULE, read_labels
from tuning.checks.images import images_problems, pixel_shape
from tuning.problems import Problem

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
_UNREADABLE = (OSError, ValueError, zipfile.BadZipFile, zlib.error)


def retain_problems(retain: str, forget: Sequence[str], model: str, workload: str) -> list[Problem]:
    """Whether something is left to retain, and no image is on both sides; what cannot be read is another's finding."""
    kind = KINDS.get(workload)
    if kind is None or images_problems("retain", retain):
        return []
    if kind.takes_prompts:
        return _label_problems(Path(retain), forget)
    try:
        if not _only_copies(Path(retain), [Path(path) for path in forget], model):
            return []
    except _UNREADABLE:
        return []
    rule = "there must be retain images besides the forget images, copies of which are left out"
    return [Problem(rule, f"{retain}, which has none", "give the images that the model was trained on and may keep")]


def _only_copies(retain: Path, forget: Sequence[Path], model: str) -> bool:
    shape = pixel_shape(model)
    channels = shape.channels if shape is not None and shape.channels in (1, 3) else 3
    if is_archive(retain):
        channels = 1 if len(archive_shape(retain)) == 3 else archive_shape(retain)[3]
    forgotten = [read_picture(path, channels) for path in forget]
    return all(any(np.array_equal(image, other) for other in forgotten) for image in _images(retain, channels))


def _images(place: Path, channels: int) -> Iterator[Pixels]:
    return archive_images(place) if is_archive(place) else (read_picture(file, channels) for file in image_files(place))


def _label_problems(retain: Path, forget: Sequence[str]) -> list[Problem]:
    try:
        labels = read_labels(retain)
    except ValueError as error:
        return [Problem(LABELS_RULE, f"{retain}, {error}", LABELS_REMEDY)]
    try:
        wrong = [place for path in forget for place in _places_of(Path(path), retain, labels)]
    except _UNREADABLE:
        return []
    rule = "the memorised image must not be labelled as not memorised"
    return [Problem(rule, f"{retain}, where {place} is the forget image", "label it as memorised") for place in wrong]


def _places_of(image: Path, retain: Path, labels: Sequence[bool]) -> list[str]:
    """Where an image stands among those labelled as not memorised; of a folder its copies byte by byte alone."""
    if not is_archive(retain):
        files = zip(image_files(retain), labels, strict=True)
        return [file.name for file, label in files if not label and filecmp.cmp(file, image, shallow=False)]
    pixels = read_picture(image, 3)
    images = zip(archive_images(retain), labels, strict=True)
    return [f"image {number}" for number, (other, label) in enumerate(images, start=1)
            if not label and np.array_equal(other, pixels)]  # fmt: skip
