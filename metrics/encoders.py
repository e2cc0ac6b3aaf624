"""Small image encoders that stand in for the published networks on small images; those of 28x28 greyscale digits.

FID and Inception Score are defined on Inception-v3 and SSCD on a ResNet-50 of its own; neither says much about a 28x28
digit. The two networks here take their places in the embedded study. Their `label` names the stand-in, so that a
report never passes its numbers off as the published metrics.

- `DigitClassifier`: Inception's place in FID and IS, a classifier of MNIST digits.
- `CopyDescriptor`: SSCD's place, trained by the SSCD recipe (Pizzi et al., arXiv 2202.10261).

Both take images (B, 1, 28, 28), float, in [-1, 1]; `metrics.photograph_encoders` holds those of photographs. A file of
`save_encoder` is a safetensors file whose metadata names the architecture; `load_encoder` builds that architecture and
fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from metrics.architectures import ENCODERS

IMAGE_SHAPE = (1, 28, 28)


class Encoder(nn.Module):
    """A network that turns images (B, *image_shape) in [-1, 1] into one vector per image."""

    architecture: ClassVar[str]
    label: ClassVar[str]
    image_shape: ClassVar[tuple[int, int, int]] = IMAGE_SHAPE


class DigitClassifier(Encoder):
    """A classifier of MNIST digits whose penultimate features serve the Frechet distance.

    The features have few dimensions on purpose: the covariance of D features takes well over D images to estimate.
    """

    architecture: ClassVar[str] = "digit_classifier"
    label: ClassVar[str] = "digit features"
    num_classes: ClassVar[int] = 10
    num_features: ClassVar[int] = 64

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            conv_block(1, 16),
            nn.MaxPool2d(2),
            conv_block(16, 32),
            nn.MaxPool2d(2),
            conv_block(32, 32),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, self.num_features),
            nn.SiLU(),
        )
        self.head = nn.Linear(self.num_features, self.num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Penultimate activations (B, 64) of images (B, 1, 28, 28) in [-1, 1]."""
        check_shape(images, self.image_shape)
        features: Tensor = self.trunk(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10) of the digits 0 to 9, before the softmax."""
        logits: Tensor = self.head(self.features(images))
        return logits


class CopyDescriptor(Encoder):
    """A copy-detection descriptor: copies of one image lie close in cosine, all other images spread over the sphere.

    Not to be confused with a semantic similarity: two different T-shirts are two different images.
    """

    architecture: ClassVar[str] = "copy_descriptor"
    label: ClassVar[str] = "digit-trained copy descriptor"
    num_features: ClassVar[int] = 64

    def __init__(self) -> None:
        super().__init__()
        channels, height, width = self.image_shape
        self.trunk = nn.Sequential(
            conv_block(channels, 16),
            conv_block(16, 32, stride=2),
            conv_block(32, 64, stride=2),
            conv_block(64, 64),
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), self.num_features),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Descriptors (B, 64) of unit L2 norm; the cosine of two images is the dot product of their descriptors."""
        check_shape(images, self.image_shape)
        return nn.functional.normalize(self.trunk(images), dim=1)


def conv_block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch normalisation and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def check_shape(images: Tensor, image_shape: tuple[int, int, int]) -> None:
    """Raise ValueError unless images are (B, *image_shape)."""
    if images.ndim != 4 or tuple(images.shape[1:]) != image_shape:
        raise ValueError(
            f"images must be (B, {', '.join(map(str, image_shape))}), but got {tuple(images.shape)}: this encoder is "
            "for images of that size alone, choose another for other sizes"
        )


def save_encoder(module: Encoder, path: Path | str) -> None:
    """Write the weights as safetensors, with the architecture's name in the metadata."""
    if ENCODERS.get(module.architecture) is not type(module):
        raise ValueError(
            f"the architecture of an encoder must be one of {', '.join(ENCODERS)}, but got {type(module).__name__}: "
            "add it to metrics.architectures.ENCODERS"
        )
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, path, metadata={"architecture": module.architecture})


def load_encoder(path: Path | str, device: torch.device | str = "cpu") -> Encoder:
    """The encoder in a file of `save_encoder`, in evaluation mode, no gradients to its weights.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: the file is no safetensors file, names no known architecture, or its weights do not fit that one.
    """
    state, metadata = _read(Path(path))
    architecture = metadata.get("architecture", "")
    if architecture not in ENCODERS:
        raise ValueError(
            f"the architecture in {path} must be one of {', '.join(ENCODERS)}, but is {architecture or 'missing'!r}: "
            "give a file written by metrics.encoders.save_encoder"
        )
    encoder = ENCODERS[architecture]()
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path} must fit the architecture {architecture!r}, but do not ({error}): rebuild the "
            "file with scripts/build_assets.py"
        ) from error
    return encoder.eval().requires_grad_(False).to(device)


def _read(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(
            f"an encoder must be a safetensors file, but {path} does not exist: give its path, or rebuild the embedded "
            "ones with scripts/build_assets.py mnist_tshirt classifier descriptor"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"an encoder must be a safetensors file, but {path} cannot be read ({error}): download it again, "
            "or rebuild the embedded ones with scripts/build_assets.py mnist_tshirt classifier descriptor"
        ) from error
