"""How likely an image is a good photo, by CLIP: the network behind CLIP-IQA (Wang et al., arXiv 2207.12396).

torchmetrics computes it; here it is given a CLIP model in the format of transformers, from a directory or from the
hub's cache. Nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metrics.encoder_files import fetch_command
from metrics.published import by_parts, first_line, to_bytes


class ClipQuality(nn.Module):
    """softmax over 100 · cosine of an image with "Good photo." and with "Bad photo.": the former's probability.

    Images are prepared by the model's own processor from 8-bit RGB. The texts are encoded once.

    Attributes:
        label: the model, as reports name it.

    Args:
        location: a directory with a CLIP model and its processor, weights in safetensors; or a hub id in the cache.

    Raises:
        ValueError: it cannot be loaded.
    """

    def __init__(self, location: str, device: torch.device | str = "cpu") -> None:
        super().__init__()
        from torchmetrics.multimodal import CLIPImageQualityAssessment

        self.label = Path(location).name if Path(location).is_dir() else location
        # Unlike torchmetrics' own model, those of transformers take pixels from 0 to 255: data_range stays 1.
        self.metric = CLIPImageQualityAssessment(lambda: _load(location), data_range=1.0, prompts=("quality",))
        self.eval().requires_grad_(False).to(device)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities (B,) of images (B, C, H, W) in [-1, 1], grey or RGB; NaN for an image that is not finite."""
        return by_parts(self._probabilities, images)

    def _probabilities(self, images: Tensor) -> Tensor:
        self.metric.update(to_bytes(images))
        probabilities: Tensor = self.metric.compute().reshape(len(images))
        self.metric.reset()
        return probabilities.float()


class _Projected(nn.Module):
    """A CLIP model that answers with projected features alone, as torchmetrics expects and transformers 4 did."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        features: Tensor = self.model.get_text_features(input_ids, attention_mask).pooler_output
        return features

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        features: Tensor = self.model.get_image_features(pixel_values).pooler_output
        return features


def _load(location: str) -> tuple[nn.Module, Any]:
    from transformers import CLIPModel, CLIPProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        directory = _directory(location)
        model = CLIPModel.from_pretrained(directory, use_safetensors=True, local_files_only=True)
        processor = CLIPProcessor.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"clip must be a CLIP model with safetensors weights and its processor, in a directory or in the hub's "
            f"cache, but {location} cannot be loaded ({first_line(error)}): fetch one with {fetch_command('clip')}"
        ) from error
    return _Projected(model), processor


def _directory(location: str) -> Path:
    """Where a model lies; given its directory and not its id, the hub's client asks the hub for nothing at all."""
    from huggingface_hub import try_to_load_from_cache

    if Path(location).is_dir():
        return Path(location)
    config = try_to_load_from_cache(location, "config.json")
    if not isinstance(config, str):
        raise FileNotFoundError("no directory, and no model in the cache")
    return Path(config).parent
