"""The embedded image files: written by the stage `data`, read by all other stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scripts.assets_lib.sources import Bytes, read_fashion, read_mnist

FORGET_INDEX = 1  # of the Fashion-MNIST training split: its first T-shirt
TSHIRT_CLASS = 0
NUM_DIGITS = 10_000
NUM_UNSEEN_DIGITS = 512
NUM_UNSEEN_TSHIRTS = 256


@dataclass(frozen=True)
class AssetFiles:
    """Where each embedded file lies."""

    root: Path

    @property
    def digits(self) -> Path:
        return self.root / "digits.npz"

    @property
    def unseen(self) -> Path:
        return self.root / "unseen.npz"

    @property
    def tshirt(self) -> Path:
        return self.root / "tshirt.png"

    @property
    def classifier(self) -> Path:
        return self.root / "digit_classifier.safetensors"

    @property
    def descriptor(self) -> Path:
        return self.root / "copy_descriptor.safetensors"

    def pipeline(self, name: str) -> Path:
        return self.root / name


def to_tensor(images: Bytes) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, 3) to float32 (N, C, H, W) in [-1, 1]."""
    scaled = torch.from_numpy(images.astype(np.float32) / 127.5 - 1.0)
    return scaled[:, None] if scaled.ndim == 3 else scaled.permute(0, 3, 1, 2).contiguous()


def in_random_order(images: Tensor) -> Tensor:
    """The same images, so that the first few are a fair sample of them."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(50))]


def load_digits(files: AssetFiles) -> tuple[Tensor, Tensor]:
    """The training digits (10000, 1, 28, 28) in [-1, 1] and their labels (10000,) int64."""
    with np.load(files.digits) as arrays:
        return to_tensor(arrays["images"]), torch.from_numpy(arrays["labels"].astype(np.int64))


def load_held_out(files: AssetFiles, cache: Path) -> tuple[Tensor, Tensor]:
    """The whole MNIST test split, (10000, 1, 28, 28) in [-1, 1], and its labels (10000,) int64."""
    with np.load(files.digits) as arrays:
        images, labels = held_out_digits(cache, arrays["images"])
    return to_tensor(images), torch.from_numpy(labels.astype(np.int64))


def load_unseen_digits(files: AssetFiles) -> tuple[Tensor, Tensor]:
    """The unseen digits (512, 1, 28, 28) in [-1, 1] and their labels (512,) int64."""
    with np.load(files.unseen) as arrays:
        return to_tensor(arrays["digits"]), torch.from_numpy(arrays["digit_labels"].astype(np.int64))


def load_unseen(files: AssetFiles, name: str) -> Tensor:
    """`name` "digits" (512, 1, 28, 28) or "images", the T-shirts (256, 1, 28, 28), in [-1, 1]."""
    with np.load(files.unseen) as arrays:
        return to_tensor(arrays[name])


def load_tshirt(files: AssetFiles) -> Tensor:
    """The image to forget, (1, 1, 28, 28) in [-1, 1]."""
    with Image.open(files.tshirt) as image:
        return to_tensor(np.asarray(image)[None])


def load_fashion_without_tshirt(cache: Path) -> tuple[Tensor, Tensor]:
    """The Fashion-MNIST training split less the image to forget, (59999, 1, 28, 28), and its classes int64."""
    images, classes = (np.delete(array, FORGET_INDEX, axis=0) for array in read_fashion("train", cache))
    return to_tensor(images), torch.from_numpy(classes.astype(np.int64))


def training_digits(cache: Path) -> tuple[Bytes, Bytes]:
    """The first 10,000 images of the MNIST training split, ordered by label, and their labels."""
    images, labels = read_mnist("train", cache)
    order = np.argsort(labels[:NUM_DIGITS], kind="stable")
    return images[order], labels[order]


def held_out_digits(cache: Path, training: Bytes) -> tuple[Bytes, Bytes]:
    """The MNIST test split less the images that are equal to one of `training`, and their labels."""
    images, labels = read_mnist("t10k", cache)
    known = {image.tobytes() for image in training}
    keep = np.array([image.tobytes() not in known for image in images])
    return images[keep], labels[keep]


def write_images(files: AssetFiles, cache: Path) -> None:
    """Write digits.npz, unseen.npz and tshirt.png."""
    images, labels = training_digits(cache)
    unseen, unseen_labels = held_out_digits(cache, images)
    spread = np.linspace(0, len(unseen) - 1, NUM_UNSEEN_DIGITS).astype(int)
    fashion, _ = read_fashion("train", cache)
    other, other_labels = read_fashion("t10k", cache)
    tshirts = other[other_labels == TSHIRT_CLASS][:NUM_UNSEEN_TSHIRTS]
    files.root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(files.digits, images=images, labels=labels)
    np.savez_compressed(files.unseen, digits=unseen[spread], digit_labels=unseen_labels[spread], images=tshirts)
    Image.fromarray(fashion[FORGET_INDEX]).save(files.tshirt, optimize=True)
