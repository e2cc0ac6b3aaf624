"""The embedded faces: written by the stage `data`, read by all other stages.

100 faces of Labeled Faces in the Wild (Huang et al., University of Massachusetts technical report 07-49), 25x25 grey
pixels, as scikit-image carries them; the last row and column are cut off, since the network halves the size twice.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from assets_lib.images import to_tensor
from assets_lib.sources import Bytes, read_skimage
from metrics.face_encoders import FACE_SHAPE

SIZE = FACE_SHAPE[-1]
NUM_FACES = 100  # of the 200 images: the others show what is behind them
FORGET_INDEX = 53  # a face like no other: with none of them does it correlate by more than 0.67
UNSEEN_INDICES = tuple(range(2, 98, 6))
PHOTOGRAPHS = (  # those that scikit-image calls CC0 or in the public domain
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
    *("gravel.png", "hubble_deep_field.jpg", "rocket.jpg"),
)
CROPS_PER_PHOTOGRAPH = 200


@dataclass(frozen=True)
class FaceFiles:
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
        return self.root / "face_features.safetensors"

    def pipeline(self, name: str) -> Path:
        return self.root / name


def write_faces(files: FaceFiles, cache: Path) -> None:
    """Write forget.png, unseen.npz and a picture for each other face, named by its index."""
    faces = _subset(cache)[:NUM_FACES]
    files.retain.mkdir(parents=True, exist_ok=True)
    for index in set(range(NUM_FACES)) - {FORGET_INDEX, *UNSEEN_INDICES}:
        Image.fromarray(faces[index]).save(files.retain / f"{index:03d}.png", optimize=True)
    Image.fromarray(faces[FORGET_INDEX]).save(files.forget, optimize=True)
    np.savez_compressed(files.unseen, images=faces[list(UNSEEN_INDICES)])


def load_retain(files: FaceFiles) -> Tensor:
    """The training faces less the one to forget, (83, 1, 24, 24) in [-1, 1]."""
    return to_tensor(np.stack([_grey(path.read_bytes()) for path in sorted(files.retain.glob("*.png"))]))


def load_forget(files: FaceFiles) -> Tensor:
    """The face to forget, (1, 1, 24, 24) in [-1, 1]."""
    return to_tensor(_grey(files.forget.read_bytes())[None])


def load_unseen(files: FaceFiles) -> Tensor:
    """Faces that nothing is trained on, (16, 1, 24, 24) in [-1, 1]."""
    with np.load(files.unseen) as arrays:
        return to_tensor(arrays["images"])


def load_backgrounds(cache: Path) -> Tensor:
    """What is behind faces of the data set, (100, 1, 24, 24) in [-1, 1]."""
    return to_tensor(_subset(cache)[NUM_FACES:])


def load_crops(cache: Path, *, seed: int = 0) -> Tensor:
    """Squares of photographs of other things, of sides from 24 to 120 pixels, (2200, 1, 24, 24) in [-1, 1]."""
    generator = np.random.default_rng(seed)
    crops = []
    for name in PHOTOGRAPHS:
        photograph = Image.fromarray(_grey(read_skimage(name, cache)))
        for side in generator.integers(SIZE, 5 * SIZE, CROPS_PER_PHOTOGRAPH).tolist():
            left, top = (int(generator.integers(0, extent - side)) for extent in photograph.size)
            box = (left, top, left + side, top + side)
            crops.append(np.asarray(photograph.resize((SIZE, SIZE), Image.Resampling.BOX, box)))
    return to_tensor(np.stack(crops))


def mirrored(images: Tensor) -> Tensor:
    """The images, then their mirror images, which are faces as good."""
    return torch.cat((images, images.flip(-1)))


def _subset(cache: Path) -> Bytes:
    """The 200 images, uint8 (200, 24, 24)."""
    images: NDArray[np.float64] = np.load(io.BytesIO(read_skimage("lfw_subset.npy", cache)), allow_pickle=False)
    return (images[:, :SIZE, :SIZE] * 255.0).round().astype(np.uint8)


def _grey(content: bytes) -> Bytes:
    """A picture's grey values, uint8 (H, W)."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L"))
