"""The embedded photographs: written by the stage `data`, read by all other stages.

Squares cut from photographs that scikit-image carries and calls CC0 or in the public domain, 32x32 RGB: of each
photograph the largest square in its middle, whole and cut into 2x2 and 4x4 tiles. A grey photograph has three equal
channels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metrics.photograph_encoders import PHOTOGRAPH_SHAPE
from scripts.assets_lib.images import to_tensor
from scripts.assets_lib.sources import Bytes, read_skimage

SIZE = PHOTOGRAPH_SHAPE[-1]
#: Into how many tiles a side each photograph is cut; what looks the same everywhere is cut less.
TILINGS: Mapping[str, tuple[int, ...]] = {
    "astronaut.png": (1, 2, 4),
    "camera.png": (1, 2, 4),
    "coins.png": (1, 2, 4),
    "hubble_deep_field.jpg": (1, 2, 4),
    "rocket.jpg": (1, 2, 4),
    "brick.png": (1, 2),
    "cell.png": (1, 2),
    "grass.png": (1, 2),
    "gravel.png": (1, 2),
}
UNSEEN_TILINGS: Mapping[str, tuple[int, ...]] = {"coffee.png": (1, 2, 4)}
FORGET_PHOTOGRAPH, FORGET_BOX = "chelsea.png", (50, 0, 350, 300)  # a cat's face: left, top, right, bottom


@dataclass(frozen=True)
class PhotographFiles:
    """Where each embedded file lies."""

    root: Path

    @property
    def retain(self) -> Path:
        return self.root / "retain"

    @property
    def forget(self) -> Path:
        return self.root / "forget.png"

    @property
    def unseen(self) -> Path:
        return self.root / "unseen.npz"

    @property
    def descriptor(self) -> Path:
        return self.root / "copy_descriptor.safetensors"

    @property
    def features(self) -> Path:
        return self.root / "photograph_features.safetensors"

    @property
    def base(self) -> Path:
        return self.root / "base"


def write_photographs(files: PhotographFiles, cache: Path) -> None:
    """Write forget.png, unseen.npz and a picture for each tile to keep, named by its photograph, tiling and place."""
    files.retain.mkdir(parents=True, exist_ok=True)
    for name, tile in tiles(TILINGS, cache).items():
        Image.fromarray(tile).save(files.retain / f"{name}.png", optimize=True)
    forget = shrink(open_photograph(FORGET_PHOTOGRAPH, cache), FORGET_BOX)
    Image.fromarray(forget).save(files.forget, optimize=True)
    np.savez_compressed(files.unseen, images=np.stack(list(tiles(UNSEEN_TILINGS, cache).values())))


def load_retain(files: PhotographFiles) -> Tensor:
    """The training images less the one to forget, (125, 3, 32, 32) in [-1, 1]."""
    return to_tensor(np.stack([_pixels(path) for path in sorted(files.retain.glob("*.png"))]))


def load_forget(files: PhotographFiles) -> Tensor:
    """The image to forget, (1, 3, 32, 32) in [-1, 1]."""
    return to_tensor(_pixels(files.forget)[None])


def load_unseen(files: PhotographFiles) -> Tensor:
    """Images that nothing is trained on, (21, 3, 32, 32) in [-1, 1]."""
    with np.load(files.unseen) as arrays:
        return to_tensor(arrays["images"])


def load_crops(cache: Path, *, count: int = 200, seed: int = 0) -> Tensor:
    """Random squares of the photographs to keep, of 32 to 160 pixels a side: (9 * count, 3, 32, 32) in [-1, 1]."""
    generator = np.random.default_rng(seed)
    crops = []
    for name in TILINGS:
        photograph = open_photograph(name, cache)
        for side in generator.integers(SIZE, 5 * SIZE, count).tolist():
            left, top = (int(generator.integers(0, extent - side)) for extent in photograph.size)
            crops.append(shrink(photograph, (left, top, left + side, top + side)))
    return to_tensor(np.stack(crops))


def mirrored(images: Tensor) -> Tensor:
    """The images, then their mirror images, which are as good."""
    return torch.cat((images, images.flip(-1)))


def tiles(tilings: Mapping[str, tuple[int, ...]], cache: Path) -> dict[str, Bytes]:
    """Every tile by name, such as "rocket-4-07": tiling and place, row by row; uint8 (32, 32, 3) each."""
    found = {}
    for name, counts in tilings.items():
        photograph = open_photograph(name, cache)
        side = min(photograph.size)
        left, top = ((extent - side) // 2 for extent in photograph.size)
        for count in counts:
            step = side / count
            for place in range(count * count):
                x, y = left + step * (place % count), top + step * (place // count)
                found[f"{Path(name).stem}-{count}-{place:02d}"] = shrink(photograph, (x, y, x + step, y + step))
    return found


def open_photograph(name: str, cache: Path) -> Image.Image:
    """A photograph of the package, RGB."""
    return Image.open(io.BytesIO(read_skimage(name, cache))).convert("RGB")


def shrink(photograph: Image.Image, box: tuple[float, float, float, float]) -> Bytes:
    """The square `box` (left, top, right, bottom) as uint8 (32, 32, 3), each pixel the mean of what it covers."""
    return np.asarray(photograph.resize((SIZE, SIZE), Image.Resampling.BOX, box))


def _pixels(path: Path) -> Bytes:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
