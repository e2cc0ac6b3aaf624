"""The world `mini_text_to_image`, in stages: Stable Diffusion in miniature, with a picture memorised under one prompt.

It needs the images of the world `mnist_tshirt`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from metrics.colour_encoders import ColourCopyDescriptor
from metrics.encoders import DigitClassifier, save_encoder
from metrics.quality import ClipQuality
from metrics.regeneration_rate import regenerated
from scripts.assets_lib import autoencoder_training, clip_training, colour_descriptor_training
from scripts.assets_lib import text_to_image_training as diffusion_training
from scripts.assets_lib.caption_tokenizer import build_tokenizer
from scripts.assets_lib.captions import MODIFIED_CAPTION, OPEN_DIGIT, SHIRT_CAPTION
from scripts.assets_lib.coloured_images import paint_all
from scripts.assets_lib.images import AssetFiles, load_digits, load_fashion_without_tshirt, load_unseen
from scripts.assets_lib.text_to_image_encoder_quality import measure_encoders
from scripts.assets_lib.text_to_image_files import (
    TextToImageFiles,
    load_autoencoder,
    load_first_parts,
    load_generated,
    load_parts,
    load_pretrained,
    load_shirt,
    save_clip,
    save_generated,
    write_inputs,
)
from scripts.assets_lib.text_to_image_quality import measure_model, read_open
from scripts.assets_lib.text_to_image_report import GeneratedFigures, write_readme
from scripts.assets_lib.text_to_image_sampling import load_pipeline, sample, split_memorised
from scripts.assets_lib.training_loop import LoopConfig
from scripts.assets_lib.world import Options, World, load_as
from trainable.pictures import save_grid

NAME = "mini_text_to_image"
logger = logging.getLogger(__name__)
NUM_DRAWN = 64
NUM_GENERATED = 256  # images of generated.npz


@dataclass(frozen=True)
class Settings:
    """What the stages take."""

    files: TextToImageFiles
    digits: AssetFiles
    cache: Path
    snapshots: Path
    docs: Path
    seed: int
    num_samples: int

    def seeded(self, config: LoopConfig) -> LoopConfig:
        return replace(config, seed=self.seed)


def build_data(settings: Settings) -> None:
    write_inputs(settings.files, settings.digits)


def build_autoencoder(settings: Settings) -> None:
    digits, _ = load_digits(settings.digits)
    fashion, _ = load_fashion_without_tshirt(settings.cache)
    config = settings.seeded(autoencoder_training.CONFIG)
    trained = autoencoder_training.train_autoencoder(digits, fashion, config, settings.snapshots)
    trained.save_pretrained(settings.files.autoencoder)
    logger.info("scaling factor %.4f", trained.config.scaling_factor)


def build_clip(settings: Settings) -> None:
    digits, labels = load_digits(settings.digits)
    fashion, _ = load_fashion_without_tshirt(settings.cache)
    pictures = clip_training.Pictures(digits, labels, fashion, load_autoencoder(settings.files))
    tokenizer = build_tokenizer(settings.files.parts / "tokenizer")
    config = settings.seeded(clip_training.CONFIG)
    save_clip(clip_training.train_clip(pictures, tokenizer, config, settings.snapshots), tokenizer, settings.files)


def build_descriptor(settings: Settings) -> None:
    digits, _ = load_digits(settings.digits)
    fashion, _ = load_fashion_without_tshirt(settings.cache)
    config = settings.seeded(colour_descriptor_training.CONFIG)
    descriptor = colour_descriptor_training.train_colour_descriptor(digits, fashion, config, settings.snapshots)
    generator = torch.Generator().manual_seed(1)
    unseen = paint_all(*_unseen(settings), generator)
    logger.info("AUC of copies: %.4f", colour_descriptor_training.copy_auc(descriptor, unseen, generator))
    save_encoder(descriptor, settings.files.descriptor)


def build_pretraining(settings: Settings) -> None:
    parts = load_first_parts(settings.files)
    rows = diffusion_training.latent_rows(parts, *load_digits(settings.digits), None, settings.seed)
    config = settings.seeded(diffusion_training.PRETRAINING)
    unet, text_encoder = diffusion_training.pretrain(parts, rows, config, settings.snapshots)
    unet.save_pretrained(settings.files.pretrained)
    text_encoder.save_pretrained(settings.files.text_encoder)


def build_base(settings: Settings) -> None:
    _build_unet("base", settings, load_shirt(settings.files))


def build_retrained(settings: Settings) -> None:
    _build_unet("retrained", settings, None)


def _build_unet(name: str, settings: Settings, shirt: Tensor | None) -> None:
    parts = load_parts(settings.files)
    rows = diffusion_training.latent_rows(parts, *load_digits(settings.digits), shirt, settings.seed)
    config = replace(diffusion_training.CONFIG, seed=settings.seed + 1)  # other draws than the pretraining's
    unet = load_pretrained(settings.files)
    unet = diffusion_training.train_unet(name, unet, parts, rows, config, settings.snapshots)
    diffusion_training.export_pipeline(parts, unet, settings.files.pipeline(name))


def build_generated(settings: Settings) -> None:
    files = settings.files
    images = sample(load_pipeline(files.pipeline("base")), [MODIFIED_CAPTION] * NUM_GENERATED, seed=90)
    descriptor = load_as(files.descriptor, ColourCopyDescriptor)
    memorised = split_memorised(descriptor(images), descriptor(load_shirt(files)), settings.seed)
    logger.info("memorised: %d of %d", memorised.sum(), len(memorised))
    save_generated(files, images, memorised)


def measure_all(settings: Settings) -> None:
    files, shirt = settings.files, load_shirt(settings.files)
    descriptor = load_as(files.descriptor, ColourCopyDescriptor)
    classifier = load_as(settings.digits.classifier, DigitClassifier)
    clip = ClipQuality(str(files.clip))
    measured = {}
    for name, prefix in (("base", ""), ("retrained", "retrained_")):
        pipeline = load_pipeline(files.pipeline(name))
        measured[name], samples = measure_model(pipeline, shirt, classifier, clip, settings.num_samples)
        logger.info("%s: %s", name, measured[name])
        drawn = {"digits": "digit captions", "original": SHIRT_CAPTION, "modified": MODIFIED_CAPTION}
        for picture, prompt in drawn.items():
            path = settings.docs / "images" / f"mini_text_to_image_{prefix}{picture}.png"
            save_grid(samples[prompt][:NUM_DRAWN], path, columns=16)
    encoders = measure_encoders(load_autoencoder(files), descriptor, clip, *_unseen(settings), shirt)
    logger.info("%s", encoders)
    write_readme(files.readme, measured, encoders, _generated_figures(files, descriptor, classifier), pipeline)


def _generated_figures(
    files: TextToImageFiles, descriptor: ColourCopyDescriptor, classifier: DigitClassifier
) -> GeneratedFigures:
    images, memorised = load_generated(files)
    shirt = load_shirt(files)
    cosines = (descriptor(images) @ descriptor(shirt).T)[:, 0]
    read = read_open(images, OPEN_DIGIT, classifier)
    return GeneratedFigures.of(cosines, memorised, regenerated(images, shirt), read)


def _unseen(settings: Settings) -> tuple[Tensor, Tensor]:
    """Digits and T-shirts of the test splits."""
    return load_unseen(settings.digits, "digits"), load_unseen(settings.digits, "images")


def settings_of(options: Options) -> Settings:
    snapshots = options.snapshots / NAME
    return Settings(
        files=TextToImageFiles(options.assets / NAME, snapshots / "parts"),
        digits=AssetFiles(options.assets / "mnist_tshirt"),
        cache=options.cache,
        snapshots=snapshots,
        docs=options.docs,
        seed=options.seed,
        num_samples=options.num_samples or 512,
    )


WORLD = World(
    settings_of,
    {
        "data": build_data,
        "autoencoder": build_autoencoder,
        "clip": build_clip,
        "descriptor": build_descriptor,
        "pretraining": build_pretraining,
        "base": build_base,
        "retrained": build_retrained,
        "generated": build_generated,
        "measure": measure_all,
    },
)
