"""Images from files: a folder of pictures, one picture, or an ``.npz`` with an array ``images``; kept as uint8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainable.workloads.image_files import ARRAY, SUFFIXES, PictureError, image_files, is_archive, read_picture

__all__ = ["SUFFIXES", "load_images", "to_bytes", "to_unit_range"]


def load_images(location: str | Path, *, channels: int, size: tuple[int, int]) -> Tensor:
    """Images as uint8 (N, C, H, W), in the order of their file names.

    Args:
        location: a directory of pictures, one picture, or an ``.npz`` whose array ``images`` is (N, H, W[, C]) uint8.
        channels: 1 (pictures are converted to grey) or 3 (to RGB); what is not converted is in ``image_files``.
        size: (H, W) that every image must have.

    Raises:
        FileNotFoundError: if there is nothing at the location, or no image in it.
        ValueError: if a file is no image or has another size.
    """
    path = Path(location)
    if is_archive(path):
        return _from_archive(path, channels, size)
    files = image_files(path) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise FileNotFoundError(f"images must be a folder of pictures, a picture or an .npz, but {path} has none")
    return torch.stack([_from_picture(file, channels, size) for file in files])


def to_unit_range(images: Tensor) -> Tensor:
    """uint8 images as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8; values outside are clipped."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def _from_archive(path: Path, channels: int, size: tuple[int, int]) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f"images must be a folder of pictures, a picture or an .npz, but {path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[ARRAY]
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"an .npz of images must hold an array 'images' of uint8, but {path} does not: {error}"
        ) from error
    array = array[..., None] if array.ndim == 3 else array
    if array.dtype != np.uint8 or array.ndim != 4 or not len(array) or array.shape[1:] != (*size, channels):
        raise ValueError(
            f"images in {path} must be uint8 (N, {size[0]}, {size[1]}[, {channels}]) for this model, "
            f"but are {array.dtype} {array.shape}"
        )
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def _from_picture(path: Path, channels: int, size: tuple[int, int]) -> Tensor:
    try:
        array = read_picture(path, channels)
    except PictureError as error:
        raise ValueError(
            f"an image must be a picture that can be taken, but got {path}, {error}; {error.remedy}"
        ) from error
    if array.shape[:2] != size:
        raise ValueError(
            f"images must be {size[0]}x{size[1]} (height x width) for this model, "
            f"but {path} is {array.shape[0]}x{array.shape[1]}; resize it first"
        )
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()
