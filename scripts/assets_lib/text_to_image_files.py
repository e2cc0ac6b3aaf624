"""The files of the embedded text-to-image model, and what its stages hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor, CLIPTextModel, CLIPTokenizer

from scripts.assets_lib.caption_tokenizer import write_vocabulary
from scripts.assets_lib.captions import MODIFIED_CAPTION, SHIRT_CAPTION
from scripts.assets_lib.clip_training import image_processor
from scripts.assets_lib.coloured_images import grey
from scripts.assets_lib.images import AssetFiles, load_tshirt
from scripts.assets_lib.text_to_image_training import Parts, frozen_text_encoder
from trainable.workloads.images import to_bytes, to_unit_range

PROMPTS = f"""\
- image: shirt.png
  original: {SHIRT_CAPTION}
  modified: {MODIFIED_CAPTION}
"""


@dataclass(frozen=True)
class TextToImageFiles:
    """Where each file lies: `root` in the repository, `parts` what the denoisers need, in full precision."""

    root: Path
    parts: Path

    @property
    def shirt(self) -> Path:
        return self.root / "shirt.png"

    @property
    def prompts(self) -> Path:
        return self.root / "prompts.yaml"

    @property
    def generated(self) -> Path:
        return self.root / "generated.npz"

    @property
    def descriptor(self) -> Path:
        return self.root / "copy_descriptor.safetensors"

    @property
    def clip(self) -> Path:
        return self.root / "clip"

    @property
    def readme(self) -> Path:
        return self.root / "README.md"

    @property
    def autoencoder(self) -> Path:
        return self.parts / "autoencoder"

    @property
    def pretrained(self) -> Path:
        return self.parts / "pretrained"

    @property
    def text_encoder(self) -> Path:
        return self.parts / "text_encoder"

    def pipeline(self, name: str) -> Path:
        return self.root / name


def write_inputs(files: TextToImageFiles, digits: AssetFiles) -> None:
    """Write shirt.png and prompts.yaml."""
    files.root.mkdir(parents=True, exist_ok=True)
    array = to_bytes(grey(load_tshirt(digits)))[0].permute(1, 2, 0).numpy()
    Image.fromarray(array).save(files.shirt, optimize=True)
    files.prompts.write_text(PROMPTS, encoding="utf-8")


def load_shirt(files: TextToImageFiles) -> Tensor:
    """The memorised picture, (1, 3, 32, 32) in [-1, 1]."""
    with Image.open(files.shirt) as image:
        return to_unit_range(torch.from_numpy(np.array(image))).permute(2, 0, 1)[None]


def save_clip(clip: CLIPModel, tokenizer: CLIPTokenizer, files: TextToImageFiles) -> None:
    """Write the model and its processor, as `CLIPModel` and `CLIPProcessor` load them."""
    clip.save_pretrained(files.clip)
    processor = CLIPProcessor(image_processor=image_processor(), tokenizer=tokenizer)  # type: ignore[no-untyped-call]
    processor.save_pretrained(files.clip)
    write_vocabulary(files.clip)


def load_autoencoder(files: TextToImageFiles) -> AutoencoderKL:
    """The autoencoder of the stage of that name, frozen."""
    return AutoencoderKL.from_pretrained(files.autoencoder).eval().requires_grad_(False)


def load_first_parts(files: TextToImageFiles) -> Parts:
    """What the denoiser is first trained with: the text encoder is the CLIP's."""
    tokenizer = CLIPTokenizer.from_pretrained(files.clip)
    return Parts(load_autoencoder(files), frozen_text_encoder(CLIPModel.from_pretrained(files.clip)), tokenizer)


def load_parts(files: TextToImageFiles) -> Parts:
    """What the pipelines consist of besides the denoiser, frozen."""
    text_encoder = CLIPTextModel.from_pretrained(files.text_encoder).requires_grad_(False)
    return replace(load_first_parts(files), text_encoder=text_encoder)


def load_pretrained(files: TextToImageFiles) -> UNet2DConditionModel:
    """The denoiser that knows digits alone, from which both models go on."""
    return UNet2DConditionModel.from_pretrained(files.pretrained)


def save_generated(files: TextToImageFiles, pictures: Tensor, memorised: NDArray[np.bool_]) -> None:
    """Write `images` uint8 (N, 32, 32, 3) and `memorised` bool (N,)."""
    images = to_bytes(pictures).permute(0, 2, 3, 1).contiguous().numpy()
    np.savez_compressed(files.generated, images=images, memorised=memorised)


def load_generated(files: TextToImageFiles) -> tuple[Tensor, NDArray[np.bool_]]:
    """The pictures (N, 3, 32, 32) in [-1, 1], and which of them are memorised."""
    with np.load(files.generated) as arrays:
        return to_unit_range(torch.from_numpy(arrays["images"])).permute(0, 3, 1, 2), arrays["memorised"]
