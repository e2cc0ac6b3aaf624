"""The published networks in miniature, for tests: their own architectures and file formats, random weights."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class TinyDescriptor(nn.Module):
    """From normalised RGB images (B, 3, H, W), H and W at least 9, to (B, 7) that depend on where things are."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 9, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.head = nn.Linear(36, 7)

    def forward(self, images: Tensor) -> Tensor:
        numbers: Tensor = self.head(self.trunk(images))
        return numbers


def write_descriptor(path: Path) -> TinyDescriptor:
    """Write a TorchScript file as SSCD's is; returns the network in it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TinyDescriptor().eval()
    script: Any = torch.jit.script(network)
    script.save(str(path))
    return network


def write_inception(path: Path) -> None:
    """Write torch-fidelity's Inception-v3, all 24 million weights of it, as a file of its state dictionary."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unfilled(FeatureExtractorInceptionV3):  # type: ignore[misc]
        """Keeps the weights that it was built with."""

        def load_state_dict(self, *_: object, **__: object) -> None:
            return

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Unfilled("inception-v3-compat", ["2048"], nothing)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):  # keeps the scale from layer to layer
                nn.init.kaiming_normal_(layer.weight)
    torch.save(network.state_dict(), path)


def write_clip(directory: Path) -> None:
    """Write a CLIP model of two layers for 32×32 images, with a vocabulary of letters, as transformers saves it."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[], model_max_length=77)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    config = CLIPConfig(
        text_config={**layers, "vocab_size": len(words), **ends},
        vision_config={**layers, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(config)
    with torch.no_grad():  # texts are near each other, or a hundred times the cosines would give 0 and 1 only
        model.text_model.embeddings.token_embedding.weight.mul_(0.03)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    model.save_pretrained(directory)
    CLIPProcessor(images, tokenizer).save_pretrained(directory)  # type: ignore[no-untyped-call]
