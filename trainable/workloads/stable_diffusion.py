"""The parts of a Stable Diffusion 1.x or 2.x pipeline, each loaded when first used: one worker rarely needs all.

The VAE and the text encoder run once per image and prompt, before any trial; trials hold the UNet, and the VAE while
they evaluate. Weights are safetensors; nothing is unpickled and no code of a model is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from diffusion.schedule import NoiseSchedule
from trainable.workloads.images import to_unit_range
from trainable.workloads.prompts import EMBEDDING_ARRAY, is_embedding
from trainable.workloads.saving import forget_origin

PIPELINE = "StableDiffusionPipeline"
_ENCODING_BATCH = 8


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation (N, c, h, w) of the VAE's posterior, both in the units that the UNet takes."""

    mean: Tensor
    std: Tensor

    def __getitem__(self, rows: Any) -> Moments:
        return Moments(self.mean[rows], self.std[rows])

    def __len__(self) -> int:
        return len(self.mean)

    def sample(self, noise: Tensor) -> Tensor:
        """mean + std · noise."""
        return self.mean + self.std * noise


class StableDiffusion:
    """A pipeline's parts.

    Args:
        model: directory or hub id of a ``StableDiffusionPipeline``.
        device: where parts are put while they are used.

    Raises:
        ValueError: on first use, if the pipeline is of another kind or a part cannot be loaded.
    """

    def __init__(self, model: str, device: torch.device) -> None:
        self.model = model
        self.device = device

    @cached_property
    def scheduler(self) -> Any:
        from diffusers import DDPMScheduler

        return self._load(DDPMScheduler, "scheduler", {})

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the images that the VAE turns into the UNet's latents."""
        from diffusers import UNet2DConditionModel

        size = UNet2DConditionModel.load_config(self.model, subfolder="unet")["sample_size"]
        height, width = (size, size) if isinstance(size, int) else size
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return height * factor, width * factor

    @cached_property
    def vae(self) -> Any:
        from diffusers import AutoencoderKL

        return self._load(AutoencoderKL, "vae").eval().requires_grad_(False)

    def denoiser(self, model: str | None = None) -> Denoiser:
        """The UNet, freshly loaded, in training mode, on the device; of another pipeline where one is named."""
        from diffusers import UNet2DConditionModel

        network = self._load(UNet2DConditionModel, "unet", model=model).to(self.device).train()
        schedule = NoiseSchedule.from_scheduler(self.scheduler)
        return Denoiser(network, schedule, self.scheduler.config.get("prediction_type", "epsilon"))

    def embed(self, prompts: Sequence[str]) -> list[Tensor]:
        """One embedding (1, tokens, width) a prompt; a saved one is read, the empty text is the empty prompt.

        The text encoder is loaded, used for all of them, and let go.
        """
        texts = [prompt for prompt in dict.fromkeys(prompts) if not is_embedding(prompt)]
        encoded = dict(zip(texts, self._encode(texts), strict=True)) if texts else {}
        return [_saved(prompt) if is_embedding(prompt) else encoded[prompt] for prompt in prompts]

    @torch.no_grad()
    def moments(self, images: Tensor) -> Moments:
        """Of uint8 images (N, 3, H, W), on the CPU."""
        vae = self.vae.to(self.device)
        factor, means, deviations = vae.config.scaling_factor, [], []
        for block in torch.split(images, _ENCODING_BATCH):
            posterior = vae.encode(to_unit_range(block).to(self.device)).latent_dist
            means.append(factor * posterior.mean.cpu())
            deviations.append(factor * posterior.std.cpu())
        return Moments(torch.cat(means), torch.cat(deviations))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] of latents (B, c, h, w)."""
        vae = self.vae.to(self.device)
        blocks = torch.split(latents / vae.config.scaling_factor, _ENCODING_BATCH)
        return torch.cat([vae.decode(block.to(self.device)).sample.clamp(-1, 1) for block in blocks])

    def offload(self) -> None:
        """Move the VAE off the device, if it was used there."""
        if "vae" in vars(self):
            self.vae.to("cpu")

    def save(self, network: nn.Module, directory: Path) -> None:
        """Write a whole pipeline around ``network``."""
        from diffusers import StableDiffusionPipeline

        pipeline = StableDiffusionPipeline.from_pretrained(
            self.model,
            unet=network,
            safety_checker=None,
            requires_safety_checker=False,
            use_safetensors=True,
            torch_dtype=torch.float32,
        )
        pipeline.save_pretrained(directory, safe_serialization=True)
        forget_origin(directory)

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> list[Tensor]:
        from transformers import CLIPTextModel, CLIPTokenizer

        tokenizer = self._load(CLIPTokenizer, "tokenizer", {})
        encoder = self._load(CLIPTextModel, "text_encoder").eval().to(self.device)
        tokens = tokenizer(
            list(texts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return [row.cpu() for row in encoder(tokens.input_ids.to(self.device)).last_hidden_state.split(1)]

    def _load(self, kind: Any, part: str, options: dict[str, Any] | None = None, *, model: str | None = None) -> Any:
        """A part of the pipeline in float32; ``options`` replace those of a network."""
        from diffusers.utils import logging

        logging.disable_progress_bar()
        location = model or self.model
        chosen = {"use_safetensors": True, "torch_dtype": torch.float32} if options is None else options
        try:
            return kind.from_pretrained(location, subfolder=part, **chosen)
        except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
            raise ValueError(
                f"model must be a {PIPELINE} with safetensors weights, but the {part} of {location} cannot be loaded: "
                f"{error}"
            ) from error


def _saved(path: str) -> Tensor:
    try:
        embedding = load_file(path)[EMBEDDING_ARRAY]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"a saved prompt must be a safetensors file with an array {EMBEDDING_ARRAY!r}, but {path} is not: {error!r}"
        ) from error
    return embedding.float().reshape(1, *embedding.shape[-2:])
