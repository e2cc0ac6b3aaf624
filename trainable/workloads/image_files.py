"""Which files hold images and what their headers say; without torch, so that what loads them also checks them."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ARRAY = "images"
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


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
                version = npy.read_magic(file)
                if version not in _READERS:
                    raise ValueError(f"npy format {version}")
                shape, _, dtype = _READERS[version](file)
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
