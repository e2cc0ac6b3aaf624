"""Images from files: a folder of pictures, one picture, or an ``.npz`` with an array ``images``; as uint8."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainable.workloads.image_files import ARRAY, SUFFIXES, PictureError, image_files, is_archive, read_picture

__all__ = ["SUFFIXES", "Images", "PictureFolder", "load_images", "open_images", "to_bytes", "to_unit_range"]

_READERS = 8  # pictures decoded at a time


class Images(Protocol):
    """Images of one shape, asked for by row; a tensor (N, C, H, W) is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """uint8 (B, C, H, W) of rows (B,) int64."""


class PictureFolder:
    """The pictures of a folder in the order of their names, read when they are asked for.

    Training touches few of a large data set's images, and the whole of it may not fit into a worker's memory.

    Args:
        folder: with at least one picture.
        channels, size: as in ``load_images``.

    Raises:
        FileNotFoundError: if there is no picture in the folder.
    """

    def __init__(self, folder: Path, *, channels: int, size: tuple[int, int]) -> None:
        self._files = image_files(folder)
        self._channels, self._size = channels, size
        if not self._files:
            raise FileNotFoundError(f"images must be a folder of pictures, a picture or an .npz, but {folder} has none")

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """uint8 (B, C, H, W) of rows (B,) int64; raises ValueError where a file is no image or has another size."""
        with ThreadPoolExecutor(_READERS) as readers:
            return torch.stack(list(readers.map(self._read, rows.tolist())))

    def _read(self, row: int) -> Tensor:
        return _from_picture(self._files[row], self._channels, self._size)


def open_images(location: str | Path, *, channels: int, size: tuple[int, int]) -> Images:
    """The images of ``load_images``; those of a folder are read when they are asked for."""
    path = Path(location)
    if path.is_dir():
        return PictureFolder(path, channels=channels, size=size)
    return load_images(path, channels=channels, size=size)


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
    if path.is_dir():
        folder = PictureFolder(path, channels=channels, size=size)
        return folder[torch.arange(len(folder))]
    if not path.exists():
        raise FileNotFoundError(f"images must be a folder of pictures, a picture or an .npz, but {path} has none")
    return _from_picture(path, channels, size)[None]


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
