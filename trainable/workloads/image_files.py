"""Images in files, and what their headers say; without torch, so that what checks them reads them as what loads them.

A picture is turned upright as its EXIF orientation says. Grey, palette and RGB pictures are converted to the channels
that are asked for. Refused is what no conversion keeps: transparent pixels, whose colours nobody sees, and 16-bit grey,
float and CMYK pixels, which would be clipped or guessed.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ARRAY = "images"
_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
_UNREADABLE = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError
)  # fmt: skip
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class PictureError(ValueError):
    """A file that is no picture that can be taken; the message completes "PATH, …".

    Args:
        fault: what is wrong.
        remedy: what to do.
    """

    def __init__(self, fault: str, remedy: str = "check the path and the file") -> None:
        super().__init__(fault)
        self.remedy = remedy


def open_picture(path: Path) -> Image.Image:
    """A picture, read to its end and upright.

    Raises:
        PictureError: it is missing, no whole image, or of a kind that is refused.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise PictureError("which is no file")
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise PictureError("which is not there") from None
    except _UNREADABLE:
        raise PictureError("which is no whole image file") from None
    if upright.mode not in _MODES:
        remedy = "save it as 8-bit grey or RGB, scaled as the training images were"
        raise PictureError(f"whose pixels are {upright.mode}, neither 8-bit grey nor RGB", remedy)
    if upright.has_transparency_data and upright.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise PictureError("which has transparent pixels", "lay it on its background and save it without alpha")
    return upright


def read_picture(path: Path, channels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """uint8 (H, W, channels) of a picture.

    Args:
        path: of the file.
        channels: 1 (grey) or 3 (RGB).

    Raises:
        PictureError: as ``open_picture``.
    """
    array = np.array(open_picture(path).convert("L" if channels == 1 else "RGB"))
    return array.reshape(*array.shape[:2], channels)


def is_archive(path: Path) -> bool:
    """Whether a location is read as an ``.npz``; a folder of that name is a folder."""
    return path.suffix == ".npz" and not path.is_dir()


def image_files(folder: Path) -> list[Path]:
    """The pictures of a folder by name, those of its sub-folders left out."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def archive_shape(path: Path) -> tuple[int, ...]:
    """(N, H, W) or (N, H, W, C) of the array ``images`` of an ``.npz``; its header is read, not its content.

    Raises:
        ValueError: it is no archive, or one without uint8 ``images`` of that shape; the message completes "PATH, …".
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{ARRAY}.npy")
            with archive.open(member) as file:
                shape, _, dtype = _header(file)
                content = member.file_size - file.tell()
    except KeyError:
        raise ValueError(f"which has no array {ARRAY!r}") from None
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"which cannot be read ({error})") from None
    if dtype != np.uint8 or len(shape) not in (3, 4):
        raise ValueError(f"whose {ARRAY!r} are {dtype} {shape}")
    if shape[0] == 0 or content != math.prod(shape):
        raise ValueError(f"whose {ARRAY!r} of shape {shape} have {content} bytes")
    return tuple(shape)


def archive_images(path: Path) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The images (H, W, C) of an ``.npz`` one after the other, so that the first can be seen without the last.

    Raises:
        ValueError: as ``archive_shape``.
    """
    shape = archive_shape(path)
    _, height, width, *rest = shape
    channels = rest[0] if rest else 1
    with zipfile.ZipFile(path) as archive, archive.open(f"{ARRAY}.npy") as file:
        _, is_fortran, _ = _header(file)
        if is_fortran:  # rows of all images lie side by side
            yield from np.frombuffer(file.read(), np.uint8).reshape(shape[::-1]).T.reshape(-1, height, width, channels)
            return
        for _ in range(shape[0]):
            content = file.read(height * width * channels)
            yield np.frombuffer(content, np.uint8).reshape(height, width, channels)


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"npy format {version}")
    return _READERS[version](file)
