"""The networks that SSCD, FID and the Inception Score are defined on, from the files that their authors publish.

- `TorchScriptDescriptor`: SSCD's ResNet-50 (Pizzi et al., arXiv 2202.10261), a TorchScript file.
- `InceptionV3`: the network of 2015-12-05 (arXiv 1512.00567) behind FID (1706.08500) and the Inception Score
  (1606.03498), as torch-fidelity ported it.

Both take grey or RGB images (B, C, H, W) of any size in [-1, 1], what lies outside being clipped, and answer NaN for an
image that is not finite. Nothing is downloaded here.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.encoder_files import PUBLISHED, fetch_command

#: Shorter edge that SSCD's authors resize images to ("small 288" of their README).
SSCD_SIZE = 288
#: Mean and standard deviation of ImageNet's pixels, which SSCD takes its input relative to.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Images through a network at a time: at 299×299, more than a few dozen need gigabytes.
MAX_ROWS = 32


class TorchScriptDescriptor(nn.Module):
    """A copy-detection descriptor in a TorchScript file, such as SSCD's ``sscd_disc_mixup.torchscript.pt``.

    Images are resized to a shorter edge of ``SSCD_SIZE``, bilinear with antialiasing, and normalised by ImageNet's
    statistics. The label is the file's name.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.label = path.name.removesuffix(".torchscript.pt")
        try:
            with warnings.catch_warnings(action="ignore", category=FutureWarning):  # torch.export reads no TorchScript
                self.network: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"a descriptor must be a TorchScript file, but {path} cannot be read ({first_line(error)}): "
                "fetch it again"
            ) from error
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])
        self.eval().requires_grad_(False).to(device)

    def forward(self, images: Tensor) -> Tensor:
        """Descriptors (B, D) of unit L2 norm; D = 512 for SSCD."""
        return by_parts(self._describe, images)

    def _describe(self, images: Tensor) -> Tensor:
        from torchvision.transforms.functional import resize

        pixels: Tensor = resize((images + 1) / 2, [SSCD_SIZE], antialias=True)
        return functional.normalize(self.network((pixels - self.mean) / self.std), dim=1)


class InceptionV3(nn.Module):
    """Inception-v3 as torch-fidelity ported it.

    Images go through it as 8-bit RGB, resized to 299×299 as TensorFlow 1 did: bilinear, no antialiasing. On the
    published weights, told by their SHA-256, scores are the published ones and bear the plain name.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        content = path.read_bytes()
        is_published = hashlib.sha256(content).hexdigest() == PUBLISHED["inception"].sha256
        self.label = "" if is_published else f"Inception-v3 of {path.name}"
        try:
            state = _pickled_anew(content, path)
            self.network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise ValueError(
                f"the weights in {path} must be those of torch-fidelity's Inception-v3, but do not fit it "
                f"({first_line(error)}): fetch them with {fetch_command('inception')}"
            ) from error
        self.eval().requires_grad_(False).to(device)

    def features(self, images: Tensor) -> Tensor:
        """Features (B, 2048) after the last pooling, for the Fréchet distance."""
        return by_parts(lambda part: self.network(to_bytes(part))[0], images)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 1008) without the bias of the last layer, for the Inception Score."""
        return by_parts(lambda part: self.network(to_bytes(part))[1], images)


def by_parts(encode: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``encode`` of images as RGB in [-1, 1], ``MAX_ROWS`` at a time; NaN for an image that is not finite.

    Raises:
        ValueError: the images are neither grey nor RGB.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be (B, 1, H, W) or (B, 3, H, W), but got {tuple(images.shape)}")
    finite = images.flatten(1).isfinite().all(1)
    clipped = images.float().nan_to_num(0.0).clamp(-1, 1).expand(-1, 3, -1, -1)
    encoded = torch.cat([encode(part) for part in torch.split(clipped, MAX_ROWS)])
    return torch.where(finite.view(-1, *[1] * (encoded.ndim - 1)), encoded, math.nan)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded as when a pipeline's image is saved."""
    return ((images + 1) * 127.5).round().to(torch.uint8)


def first_line(error: Exception) -> str:
    """What a library says before it lists keys or its stack."""
    return str(error).strip().partition("\n")[0]


def _pickled_anew(content: bytes, path: Path) -> io.BytesIO:
    """A state dictionary read as tensors only: torch-fidelity would run whatever code the file's own pickle brings."""
    try:
        state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"weights must be a file of tensors that torch.load reads with weights_only, but {path} is not "
            f"({first_line(error)}): fetch it again"
        ) from error
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer
