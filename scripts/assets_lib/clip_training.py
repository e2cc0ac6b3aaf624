"""The embedded CLIP (arXiv 2103.00020): pictures against captions that name the subject, the quality, or both.

It takes two places: of the CLIP behind CLIP-IQA (arXiv 2207.12396), and its text encoder, frozen, of the one that
Stable Diffusion is conditioned on. It never sees the shirt, and its words "shirt" and "kasimir" are never trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from scripts.assets_lib.autoencoder_training import decode, encode
from scripts.assets_lib.captions import Subject, coloured_caption
from scripts.assets_lib.coloured_images import SIZE, draw_subjects, paint_all, paint_subjects
from scripts.assets_lib.damage import PIXEL_DAMAGES, disturbed_latents
from scripts.assets_lib.training_loop import LoopConfig, TrainingLoop

CONFIG = LoopConfig(steps=1_500, peak_lr=1e-3, weight_decay=1e-2)
BATCH_SIZE = 64
LOGIT_SCALE = math.log(100.0)  # CLIP-IQA's, fixed: its value is then the trained chance of "good" against "bad"
WIDTH = 64
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's image processor
STD = (0.26862954, 0.26130258, 0.27577711)
TOKEN_STD = 0.5  # of the initial word vectors: large, so that words never trained on stay apart from each other


@dataclass(frozen=True)
class Pictures:
    """What the CLIP is trained on: digits, pieces of fashion, and the autoencoder that damages some of them."""

    digits: Tensor  # (N, 1, 28, 28)
    labels: Tensor  # (N,)
    fashion: Tensor  # (M, 1, 28, 28), without the shirt
    autoencoder: AutoencoderKL


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A vision transformer on 4x4 patches and a text transformer, both 64 wide."""
    shape = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4, "projection_dim": WIDTH}
    text = {
        **shape,
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**shape, "num_hidden_layers": 3, "image_size": SIZE, "patch_size": 4}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))
    torch.nn.init.normal_(clip.text_model.embeddings.token_embedding.weight, std=TOKEN_STD)
    torch.nn.init.constant_(clip.logit_scale, LOGIT_SCALE)
    clip.logit_scale.requires_grad_(False)
    return clip


def image_processor() -> CLIPImageProcessor:
    """CLIP's own processing, at 32x32."""
    return CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})


def pixel_values(images: Tensor) -> Tensor:
    """What `image_processor` makes of `images` (B, 3, 32, 32) in [-1, 1]."""
    mean, std = torch.tensor(MEAN)[None, :, None, None], torch.tensor(STD)[None, :, None, None]
    return ((images.clamp(-1.0, 1.0) + 1.0) / 2.0 - mean) / std


def draw_clean(pictures: Pictures, count: int, generator: torch.Generator) -> tuple[Tensor, list[Subject | None]]:
    """`count` pictures and their subjects, a quarter of them pieces of fashion, whose subject is None.

    A quarter have gone through the autoencoder: what it cannot keep is no damage.
    """
    rows = torch.randint(len(pictures.digits), (count - count // 4,), generator=generator)
    subjects = draw_subjects(pictures.labels[rows], generator)
    pieces = pictures.fashion[torch.randint(len(pictures.fashion), (count // 4,), generator=generator)]
    images = torch.cat((paint_subjects(pictures.digits[rows], subjects), paint_all(pieces[:0], pieces, generator)))
    images[::4] = decode(pictures.autoencoder, encode(pictures.autoencoder, images[::4]))
    return images, [*subjects, *[None] * len(pieces)]


def damage(images: Tensor, autoencoder: AutoencoderKL, generator: torch.Generator) -> tuple[Tensor, list[str]]:
    """Each picture with one kind of damage, drawn evenly, and the names of the kinds."""
    names = (*PIXEL_DAMAGES, "disturbed latents")
    kinds = torch.randint(len(names), (len(images),), generator=generator)
    scale = autoencoder.config.scaling_factor
    damaged = images.clone()
    for number, name in enumerate(names):
        chosen = kinds == number
        if not chosen.any():
            continue
        if name in PIXEL_DAMAGES:
            damaged[chosen] = PIXEL_DAMAGES[name](images[chosen], generator)
        else:
            latents = disturbed_latents(encode(autoencoder, images[chosen]) * scale, generator)
            damaged[chosen] = decode(autoencoder, latents / scale)
    return damaged.clamp(-1.0, 1.0), [names[number] for number in kinds.tolist()]


def quality_caption(subject: Subject | None, kind: str, draws: Sequence[float]) -> str:
    """A caption that names the subject, the quality (`kind`: a damage, or "clean"), or both; `draws`: two in [0, 1)."""
    clean = kind == "clean"
    own_word = kind if kind in ("noisy", "blurry") else ("bad", "clean")[clean]
    word = own_word if draws[0] < 0.2 else ("sharp" if clean and draws[0] < 0.3 else ("bad", "good")[clean])
    if subject is None or draws[1] < 0.6:
        return f"{word} photo."
    if clean and draws[1] < 0.75:
        return coloured_caption(subject)
    return f"{word} photo of {coloured_caption(subject)}."


def draw_captioned(pictures: Pictures, count: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
    """Pictures, half of them damaged, and a caption of each."""
    images, subjects = draw_clean(pictures, count, generator)
    bad = torch.rand(count, generator=generator) < 0.5
    kinds = ["clean"] * count
    images[bad], names = damage(images[bad], pictures.autoencoder, generator)
    for row, name in zip(bad.nonzero()[:, 0].tolist(), names, strict=True):
        kinds[row] = name
    draws = torch.rand(count, 2, generator=generator).tolist()
    rows = zip(subjects, kinds, draws, strict=True)
    return images, [quality_caption(subject, kind, row) for subject, kind, row in rows]


def contrastive_loss(image_features: Tensor, text_features: Tensor, captions: Sequence[str]) -> Tensor:
    """CLIP's symmetric cross-entropy, where all rows of one caption are each other's matches (arXiv 2004.11362)."""
    numbers = {caption: number for number, caption in enumerate(captions)}
    identity = torch.tensor([numbers[caption] for caption in captions])
    matches = (identity[:, None] == identity[None, :]).float()
    target = matches / matches.sum(dim=1, keepdim=True)
    images = torch.nn.functional.normalize(image_features, dim=1)
    texts = torch.nn.functional.normalize(text_features, dim=1)
    logits = images @ texts.T * math.exp(LOGIT_SCALE)
    return (
        torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
    ) / 2.0


def clip_features(
    clip: CLIPModel, tokenizer: CLIPTokenizer, images: Tensor, captions: list[str]
) -> tuple[Tensor, Tensor]:
    """Projected features (B, 64) of pictures and of captions."""
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    text = clip.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output
    return clip.get_image_features(pixel_values(images)).pooler_output, text


def train_clip(pictures: Pictures, tokenizer: CLIPTokenizer, config: LoopConfig, scratch: Path) -> CLIPModel:
    """Train on clean and damaged pictures by halves."""
    torch.manual_seed(config.seed)
    clip = build_clip(tokenizer)

    def loss(generator: torch.Generator) -> Tensor:
        images, captions = draw_captioned(pictures, BATCH_SIZE, generator)
        return contrastive_loss(*clip_features(clip, tokenizer, images, captions), captions)

    return TrainingLoop("clip", clip, loss, config, scratch).run()
