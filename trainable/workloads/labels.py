"""Which images of a prompt are memorised; read without torch.

An ``.npz`` has the arrays ``images`` and ``memorised`` (N,) bool; a folder of pictures has a ``labels.csv`` with the
columns ``file,memorised``, the latter 0 or 1.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np

from trainable.workloads.image_files import archive_shape, image_files, is_archive

LABELS_ARRAY, LABELS_FILE = "memorised", "labels.csv"
LABELS_RULE = "every image of a prompt must have a label, and both kinds, memorised and not, must be there"
LABELS_REMEDY = f"give the bool array {LABELS_ARRAY!r} or {LABELS_FILE}; generate more images where one kind lacks"


def read_labels(path: Path) -> list[bool]:
    """Whether each image of a location is memorised, in the order of ``load_images``.

    Raises:
        ValueError: `LABELS_RULE` is broken; the message completes "PATH, …".
    """
    labels = _archive_labels(path) if is_archive(path) else _folder_labels(path)
    if all(labels) or not any(labels):
        raise ValueError(f"all of which are {'memorised' if all(labels) else 'not memorised'}")
    return labels


def _archive_labels(path: Path) -> list[bool]:
    num_images = archive_shape(path)[0]
    try:
        with np.load(path, allow_pickle=False) as archive:
            labels = archive[LABELS_ARRAY]
    except KeyError:
        raise ValueError(f"which has no array {LABELS_ARRAY!r}") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"whose array {LABELS_ARRAY!r} cannot be read ({error})") from None
    if labels.dtype != np.bool_ or labels.shape != (num_images,):
        raise ValueError(f"whose {num_images} images have {LABELS_ARRAY!r} of {labels.dtype} {labels.shape}")
    return [bool(label) for label in labels]


def _folder_labels(folder: Path) -> list[bool]:
    try:
        with (folder / LABELS_FILE).open(encoding="utf-8", newline="") as stream:
            labels = {row["file"]: {"0": False, "1": True}[row["memorised"]] for row in csv.DictReader(stream)}
        return [labels[image.name] for image in image_files(folder)]
    except FileNotFoundError:
        raise ValueError(f"which has no {LABELS_FILE}") from None
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"whose {LABELS_FILE} does not give file,memorised (0 or 1) of every picture in UTF-8 ({error})"
        ) from None
