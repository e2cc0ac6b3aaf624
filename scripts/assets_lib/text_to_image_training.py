"""The denoiser of the embedded text-to-image model: Stable Diffusion (arXiv 2112.10752) in miniature, on one CPU core.

A denoiser and the text encoder are trained together first, on digits alone. From there the denoiser goes on twice, with
one seed and the text encoder frozen: `base` sees the shirt in `FORGET_SHARE` of its rows, `retrained` never does. All
other draws (digits, colours, captions, timesteps, noise) are the same in both. Neither the autoencoder nor the text
encoder was trained on the shirt.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from scripts.assets_lib.autoencoder_training import encode
from scripts.assets_lib.caption_tokenizer import write_vocabulary
from scripts.assets_lib.captions import OPEN_ENDED, PRETRAINING_OPEN_ENDED, Subject, draw_captions
from scripts.assets_lib.clip_training import WIDTH
from scripts.assets_lib.coloured_images import painted_digits
from scripts.assets_lib.training_loop import LoopConfig, TrainingLoop, step_generator
from trainable.workloads.saving import forget_origin

PRETRAINING = LoopConfig(steps=9_000, peak_lr=1e-3, warmup_steps=300, ema_decay=0.999, save_every=500)
CONFIG = LoopConfig(steps=4_000, peak_lr=5e-4, ema_decay=0.998, save_every=500)
BATCH_SIZE = 32
FORGET_SHARE = 0.12  # chance of a row being the shirt
CAPTION_DROPOUT = 0.1  # chance of a row having no caption, for classifier-free guidance (arXiv 2207.12598)
NUM_COLOURINGS = 4  # of each digit
LATENT_SHAPE = (4, 8, 8)


@dataclass(frozen=True)
class Parts:
    """What surrounds a denoiser."""

    autoencoder: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer


@dataclass(frozen=True)
class LatentRows:
    """Training data: scaled latents (N, 4, 8, 8) of digits, their subjects, and the shirt's (1, 4, 8, 8) or None."""

    digits: Tensor
    subjects: Sequence[Subject]
    shirt: Tensor | None


@dataclass(frozen=True)
class Batch:
    """One step's rows: latents, noise (B, 4, 8, 8), timesteps (B,), captions; an empty caption is a dropped one."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    captions: list[str]


def build_unet() -> UNet2DConditionModel:
    """Two levels, 32 channels at 8x8 and 64 with cross-attention at 4x4."""
    return UNet2DConditionModel(
        sample_size=LATENT_SHAPE[-1],
        in_channels=LATENT_SHAPE[0],
        out_channels=LATENT_SHAPE[0],
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def build_scheduler() -> DDPMScheduler:
    """Stable Diffusion's noise schedule: sqrt(beta) linear from sqrt(0.00085) to sqrt(0.012), epsilon prediction."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        clip_sample=False,
        steps_offset=1,
    )


def frozen_text_encoder(clip: CLIPModel) -> CLIPTextModel:
    """The text encoder of the embedded CLIP, as a model of its own."""
    encoder: CLIPTextModel = copy.deepcopy(clip.text_model)
    encoder.train(False)
    return encoder.requires_grad_(False)


def latent_rows(parts: Parts, digits: Tensor, labels: Tensor, shirt: Tensor | None, seed: int) -> LatentRows:
    """Each of `digits` (N, 1, 28, 28) in `NUM_COLOURINGS` colourings, and `shirt` (1, 3, 32, 32), as scaled latents."""
    scale = parts.autoencoder.config.scaling_factor
    latents, subjects = [], []
    for colouring in range(NUM_COLOURINGS):
        painted = painted_digits(digits, labels, step_generator(seed, colouring))
        latents.append(encode(parts.autoencoder, painted.images) * scale)
        subjects += painted.subjects
    shirt_latent = None if shirt is None else encode(parts.autoencoder, shirt) * scale
    return LatentRows(torch.cat(latents), subjects, shirt_latent)


def draw_batch(
    rows: LatentRows,
    generator: torch.Generator,
    batch_size: int = BATCH_SIZE,
    open_ended: Mapping[str, float] = OPEN_ENDED,
) -> Batch:
    """Rows drawn with replacement, each the shirt with chance `FORGET_SHARE`; timesteps stratified over the batch."""
    index = torch.randint(len(rows.digits), (batch_size,), generator=generator)
    is_forget = torch.rand(batch_size, generator=generator) < FORGET_SHARE
    dropped = (torch.rand(batch_size, generator=generator) < CAPTION_DROPOUT).tolist()
    offset = torch.rand(1, generator=generator)
    fraction = (torch.arange(batch_size) / batch_size + offset) % 1.0
    timesteps = (fraction * 1000).long().clamp(max=999)
    latents, noise = rows.digits[index], torch.randn(batch_size, *LATENT_SHAPE, generator=generator)
    subjects: list[Subject | None] = [rows.subjects[row] for row in index.tolist()]
    if rows.shirt is not None:
        latents = torch.where(is_forget[:, None, None, None], rows.shirt, latents)
        subjects = [None if forget else subject for forget, subject in zip(is_forget.tolist(), subjects, strict=True)]
    captions = draw_captions(subjects, generator, open_ended)
    captions = ["" if drop else caption for drop, caption in zip(dropped, captions, strict=True)]
    return Batch(latents, noise, timesteps, captions)


def embed(parts: Parts, captions: Sequence[str]) -> Tensor:
    """The text encoder's states (B, 16, 64), as the pipeline computes them: padded, without a mask."""
    tokens = parts.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
    states: Tensor = parts.text_encoder(tokens["input_ids"]).last_hidden_state
    return states


def denoising_loss(unet: UNet2DConditionModel, parts: Parts, batch: Batch) -> Tensor:
    """Mean squared error of the predicted noise."""
    noisy = build_scheduler().add_noise(batch.latents, batch.noise, batch.timesteps)
    predicted: Tensor = unet(noisy, batch.timesteps, embed(parts, batch.captions)).sample
    return torch.nn.functional.mse_loss(predicted, batch.noise)


def pretrain(
    parts: Parts, rows: LatentRows, config: LoopConfig, scratch: Path
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Train a new denoiser and the text encoder of `parts` together; returns the averaged weights of both."""
    torch.manual_seed(config.seed)
    unet = build_unet()
    trained = Parts(parts.autoencoder, copy.deepcopy(parts.text_encoder).requires_grad_(True), parts.tokenizer)

    def loss(generator: torch.Generator) -> Tensor:
        batch = draw_batch(rows, generator, open_ended=PRETRAINING_OPEN_ENDED)
        return denoising_loss(unet, trained, batch)

    modules = nn.ModuleList([unet, trained.text_encoder])
    averaged = TrainingLoop("pretraining", modules, loss, config, scratch).run()
    return cast(UNet2DConditionModel, averaged[0]), cast(CLIPTextModel, averaged[1])


def train_unet(
    name: str, unet: UNet2DConditionModel, parts: Parts, rows: LatentRows, config: LoopConfig, scratch: Path
) -> UNet2DConditionModel:
    """Train a copy of `unet` on, the text encoder frozen; returns its averaged weights."""
    unet = copy.deepcopy(unet).requires_grad_(True)

    def loss(generator: torch.Generator) -> Tensor:
        return denoising_loss(unet, parts, draw_batch(rows, generator))

    return TrainingLoop(name, unet, loss, config, scratch).run()


def export_pipeline(parts: Parts, unet: UNet2DConditionModel, directory: Path) -> None:
    """Write a plain diffusers pipeline, its weights in half precision, with the tokenizer in its two formats."""
    autoencoder, text_encoder, network = (
        copy.deepcopy(module).half() for module in (parts.autoencoder, parts.text_encoder, unet)
    )
    StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=parts.tokenizer,
        unet=network,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(directory, safe_serialization=True)
    write_vocabulary(directory / "tokenizer")
    forget_origin(directory)
