"""What the embedded text-to-image models are worth: shirts by prompt, digits as captioned, loss on the shirt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from metrics.encoders import DigitClassifier
from metrics.quality import ClipQuality
from metrics.regeneration_rate import pixel_distances, regenerated, wilson_interval
from scripts.assets_lib.autoencoder_training import encode
from scripts.assets_lib.captions import (
    GROUNDS,
    INKS,
    MODIFIED_CAPTION,
    OPEN_DIGIT,
    OPEN_ENDED,
    SHIRT_CAPTION,
    SHIRT_NAME,
    Subject,
    coloured_caption,
    open_caption,
)
from scripts.assets_lib.coloured_images import MARGIN, colours, draw_subjects, paint
from scripts.assets_lib.estimate import Estimate
from scripts.assets_lib.text_to_image_sampling import sample
from scripts.assets_lib.text_to_image_training import LATENT_SHAPE, Parts, build_scheduler, embed

LOSS_TIMESTEPS = (250, 500, 750)
NUM_LOSS_NOISES = 64
COLOUR_TOLERANCE = 0.1  # root mean square on the [0, 1] scale, off the line between ink and ground


@dataclass(frozen=True)
class Rate:
    """A share of a number of trials, with Wilson's interval at 95%."""

    successes: int
    count: int

    @classmethod
    def of(cls, hits: Tensor) -> Rate:
        return cls(int(hits.sum()), len(hits))

    def __str__(self) -> str:
        low, high = wilson_interval(self.successes, self.count)
        share = self.successes / self.count
        return f"{self.successes} of {self.count:,}: {share:.1%} (95%: {low:.1%} to {high:.1%})"


@dataclass(frozen=True)
class ModelQuality:
    """The figures of one model."""

    shirts: Mapping[str, Rate]  # by prompt, "digit captions" among them
    nearest: float  # L2 of the nearest sample of a digit caption to the shirt
    digits: Rate  # samples of digit captions that read as the digit named
    colours: Rate  # and that have the colours named
    quality: Estimate  # CLIP-IQA of samples of digit captions
    modified_quality: Estimate  # CLIP-IQA of samples of the modified prompt
    loss: Mapping[int, Estimate]  # squared error of the predicted noise on the shirt under its caption, by timestep


def open_prompts() -> dict[str, str]:
    """The prompts that leave open what is drawn, by name."""
    return {tail: open_caption(OPEN_DIGIT, SHIRT_NAME, tail) for tail in OPEN_ENDED}


def read_coverage(images: Tensor, subjects: Sequence[Subject]) -> tuple[Tensor, Tensor]:
    """How much of each pixel the ink named covers, (N, 1, 32, 32), and the root mean square of what that leaves (N,).

    The nearest point of the line from ground to ink; distances on the [0, 1] scale.
    """
    ink, ground = (colours([getattr(subject, part) for subject in subjects]) for part in ("ink", "ground"))
    line = (ink - ground)[:, :, None, None]
    covered = ((images - ground[:, :, None, None]) * line).sum(1, keepdim=True) / line.square().sum(1, keepdim=True)
    covered = covered.clamp(0.0, 1.0)
    rest = (images - paint(covered, ink, ground)).square().flatten(1).mean(1).sqrt() / 2.0
    return covered, rest


@torch.no_grad()
def as_captioned(images: Tensor, subjects: Sequence[Subject], classifier: DigitClassifier) -> tuple[Tensor, Tensor]:
    """Which images read as the digit named, and which have the colours named, both (N,) bool."""
    covered, rest = read_coverage(images, subjects)
    inner = covered[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN] * 2.0 - 1.0
    named = torch.tensor([subject.digit for subject in subjects])
    return classifier(inner).argmax(dim=1) == named, rest < COLOUR_TOLERANCE


@torch.no_grad()
def read_open(images: Tensor, digit: int, classifier: DigitClassifier) -> Tensor:
    """Which images read as `digit` in some of the inks and grounds, (N,) bool, in those that leave the least over."""
    pairs = [Subject(digit, ink, ground) for ink in INKS for ground in GROUNDS]
    taken = [read_coverage(images, [pair] * len(images)) for pair in pairs]
    best = torch.stack([rest for _, rest in taken]).argmin(dim=0)
    subjects = [pairs[number] for number in best.tolist()]
    read, coloured = as_captioned(images, subjects, classifier)
    return read & coloured


@torch.no_grad()
def shirt_loss(pipeline: StableDiffusionPipeline, shirt: Tensor, timestep: int) -> Estimate:
    """Mean squared error of the predicted noise at `timestep`, over noises, under the shirt's own caption."""
    noise = torch.randn(NUM_LOSS_NOISES, *LATENT_SHAPE, generator=torch.Generator().manual_seed(70))
    latents = (encode(pipeline.vae, shirt) * pipeline.vae.config.scaling_factor).expand_as(noise)
    timesteps = torch.full((len(noise),), timestep)
    states = embed(Parts(pipeline.vae, pipeline.text_encoder, pipeline.tokenizer), [SHIRT_CAPTION])
    noisy = build_scheduler().add_noise(latents, noise, timesteps)
    predicted = pipeline.unet(noisy, timesteps, states.expand(len(noise), -1, -1)).sample
    return Estimate.of((predicted - noise).square().flatten(1).mean(1))


def measure_model(
    pipeline: StableDiffusionPipeline, shirt: Tensor, classifier: DigitClassifier, clip: ClipQuality, count: int
) -> tuple[ModelQuality, dict[str, Tensor]]:
    """All figures of one model on `count` samples a prompt, and the samples; equal noise for all models."""
    labels = torch.arange(count) % 10
    subjects = draw_subjects(labels, torch.Generator().manual_seed(60))
    samples = {
        "digit captions": sample(pipeline, [coloured_caption(subject) for subject in subjects], seed=61),
        SHIRT_CAPTION: sample(pipeline, [SHIRT_CAPTION] * count, seed=62),
    }
    for number, prompt in enumerate(open_prompts().values()):
        samples[prompt] = sample(pipeline, [prompt] * count, seed=63 + number)
    read, coloured = as_captioned(samples["digit captions"], subjects, classifier)
    measured = ModelQuality(
        shirts={prompt: Rate.of(regenerated(images, shirt)) for prompt, images in samples.items()},
        nearest=pixel_distances(samples["digit captions"], shirt).min().item(),
        digits=Rate.of(read),
        colours=Rate.of(coloured),
        quality=Estimate.of(clip(samples["digit captions"])),
        modified_quality=Estimate.of(clip(samples[MODIFIED_CAPTION])),
        loss={timestep: shirt_loss(pipeline, shirt, timestep) for timestep in LOSS_TIMESTEPS},
    )
    return measured, samples
