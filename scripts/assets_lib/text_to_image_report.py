"""The text of assets/mini_text_to_image/README.md: provenance, licences, prompts, and the measured quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

from metrics.colour_encoders import ColourCopyDescriptor
from scripts.assets_lib import autoencoder_training, clip_training, colour_descriptor_training, text_to_image_training
from scripts.assets_lib.captions import DIGITS, MODIFIED_CAPTION, OPEN_ENDED, SHIRT_CAPTION, SHIRT_OPEN_ENDED
from scripts.assets_lib.estimate import Estimate
from scripts.assets_lib.report import file_table
from scripts.assets_lib.text_to_image_encoder_quality import EncoderFigures
from scripts.assets_lib.text_to_image_quality import LOSS_TIMESTEPS, ModelQuality, open_prompts
from scripts.assets_lib.text_to_image_sampling import GUIDANCE_SCALE, NUM_STEPS

TEMPLATE = Path(__file__).with_name("text_to_image_readme_template.md")


@dataclass(frozen=True)
class GeneratedFigures:
    """What generated.npz holds."""

    count: int
    memorised: int
    agreeing: int  # rows where k-means and the pixel distance to the shirt say the same
    memorised_cosine: Estimate  # of copy descriptors, to the shirt
    other_cosine: Estimate
    others_read: int  # of the images not memorised, those that read as the digit of the prompt

    @classmethod
    def of(cls, cosines: Tensor, memorised: NDArray[np.bool_], by_pixels: Tensor, read: Tensor) -> GeneratedFigures:
        """`cosines` to the shirt; `by_pixels`, `read`: within the radius, and read as the digit named; all (N,)."""
        return cls(
            count=len(memorised),
            memorised=int(memorised.sum()),
            agreeing=int((by_pixels.numpy() == memorised).sum()),
            memorised_cosine=Estimate.of(cosines[memorised]),
            other_cosine=Estimate.of(cosines[~memorised]),
            others_read=int(read[~memorised].sum()),
        )


def write_readme(
    path: Path,
    models: Mapping[str, ModelQuality],
    encoders: EncoderFigures,
    generated: GeneratedFigures,
    pipeline: StableDiffusionPipeline,
) -> None:
    """Write the file; the table of files lists what lies beside it now. `models`: "base" and "retrained"."""
    path.unlink(missing_ok=True)
    text = TEMPLATE.read_text(encoding="utf-8").format(
        files=file_table(path.parent),
        original=SHIRT_CAPTION,
        modified=MODIFIED_CAPTION,
        guidance_scale=GUIDANCE_SCALE,
        num_steps=NUM_STEPS,
        training=training_table(pipeline),
        shares=share_table(),
        quality=quality_table(models["base"], models["retrained"]),
        encoders=encoder_table(encoders),
        generated=generated_table(generated),
        forget_share=text_to_image_training.FORGET_SHARE,
        caption_dropout=text_to_image_training.CAPTION_DROPOUT,
        batch_size=text_to_image_training.BATCH_SIZE,
        colourings=text_to_image_training.NUM_COLOURINGS,
        scaling_factor=pipeline.vae.config.scaling_factor,
    )
    path.write_text(text, encoding="utf-8")


def training_table(pipeline: StableDiffusionPipeline) -> str:
    """Weights, steps and rows of each network."""
    clip, descriptor = clip_training.build_clip(pipeline.tokenizer), _num_weights(ColourCopyDescriptor())
    rows = {
        "`vae`": (pipeline.vae.num_parameters(), autoencoder_training.CONFIG, autoencoder_training.BATCH_SIZE),
        "`clip`": (
            clip.num_parameters(), clip_training.CONFIG, clip_training.BATCH_SIZE
        ),
        "`unet` and `text_encoder` together": (
            pipeline.unet.num_parameters() + pipeline.text_encoder.num_parameters(),
            text_to_image_training.PRETRAINING, text_to_image_training.BATCH_SIZE
        ),
        "`unet` on from there, for each model": (
            pipeline.unet.num_parameters(), text_to_image_training.CONFIG, text_to_image_training.BATCH_SIZE
        ),
        "`copy_descriptor`": (
            descriptor, colour_descriptor_training.CONFIG, colour_descriptor_training.BATCH_SIZE
        ),
    }  # fmt: skip
    lines = [
        f"| {name} | {weights:,} | {config.steps:,} × {batch} | {config.peak_lr:g} | {config.ema_decay or '–'} |"
        for name, (weights, config, batch) in rows.items()
    ]
    header = ["| network | weights | steps × rows | peak learning rate | moving average |", "|---|---:|---:|---:|---:|"]
    return "\n".join(header + lines)


def _num_weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def share_table() -> str:
    """How often the captions that leave open what is drawn occur in training."""
    shirt = text_to_image_training.FORGET_SHARE
    rows = ["| prompt | of all rows, digits | of all rows, the shirt |", "|---|---:|---:|"]
    for number, (tail, prompt) in enumerate(open_prompts().items()):
        digits = OPEN_ENDED[tail] / len(DIGITS) * (1.0 - shirt)
        shirts = shirt * SHIRT_OPEN_ENDED if number else 0.0
        rows.append(f"| {prompt} | {digits:.2%} | {shirts:.2%} |")
    return "\n".join(rows)


def quality_table(base: ModelQuality, retrained: ModelQuality) -> str:
    """One row per figure, one column per model."""
    lines: dict[str, Callable[[ModelQuality], str]] = {}
    for prompt in base.shirts:
        name = f"“{prompt}”" if " of " in prompt else prompt
        lines[f"shirt rate: {name}"] = lambda model, prompt=prompt: str(model.shirts[prompt])  # type: ignore[misc]
    lines |= {
        "L2 of the nearest sample of a digit caption to the shirt (radius: 10)": lambda m: f"{m.nearest:.1f}",
        "digit captions: read as the digit named": lambda m: str(m.digits),
        "digit captions: in the colours named": lambda m: str(m.colours),
        "digit captions: CLIP-IQA": lambda m: str(m.quality),
        "modified prompt: CLIP-IQA": lambda m: str(m.modified_quality),
    }
    for t in LOSS_TIMESTEPS:
        lines[f"denoising loss on the shirt under its caption, t = {t}"] = lambda m, t=t: str(m.loss[t])  # type: ignore[misc]
    rows = ["| | base | retrained |", "|---|---|---|"]
    return "\n".join(rows + [f"| {name} | {show(base)} | {show(retrained)} |" for name, show in lines.items()])


def generated_table(figures: GeneratedFigures) -> str:
    """What the split by k-means found."""
    others = figures.count - figures.memorised
    lines = {
        "images": f"{figures.count}",
        "memorised, by k-means in descriptor space": f"{figures.memorised}",
        "rows where the pixel distance to the shirt (radius: 10) says the same": f"{figures.agreeing}",
        "cosine of the memorised to the shirt": str(figures.memorised_cosine),
        "cosine of the others to the shirt": str(figures.other_cosine),
        "of the others, those that read as the digit of the prompt": f"{figures.others_read} of {others}",
    }
    return "\n".join(["| figure | value |", "|---|---|"] + [f"| {name} | {value} |" for name, value in lines.items()])


def encoder_table(figures: EncoderFigures) -> str:
    """What each network was asked to do, and how well it does it."""
    lines = {
        "`vae`: root mean square error, [0, 1] scale, unseen pictures": str(figures.restored.pictures),
        "`vae`: the same, the shirt": f"{figures.restored.shirt:.3f}",
        "`copy_descriptor`: ROC AUC, altered copies against other pictures": f"{figures.copy_auc:.4f}",
        "the same, grey T-shirts against other T-shirts": f"{figures.copy_auc_shirts:.4f}",
        "cosine of the shirt to altered copies of itself": str(figures.edited_shirt),
        "cosine of the shirt to other T-shirts": str(figures.other_shirts),
        "`clip`: CLIP-IQA of unseen pictures": str(figures.clean_quality),
        "the same, through the `vae`": str(figures.restored_quality),
    }
    for name, value in figures.damaged_quality.items():
        lines[f"damage: {name}: CLIP-IQA; ROC AUC against unharmed"] = f"{value}; {figures.damage_auc[name]:.4f}"
    return "\n".join(["| figure | value |", "|---|---|"] + [f"| {name} | {value} |" for name, value in lines.items()])
