"""The world `mnist_tshirt`, in stages: digits, a memorised T-shirt, a classifier and a copy descriptor."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMPipeline

from metrics.encoders import CopyDescriptor, DigitClassifier, save_encoder
from scripts.assets_lib.diffusion_training import Trainer, TrainingConfig, export_pipeline
from scripts.assets_lib.encoder_quality import accuracy, copy_auc, measure_encoders
from scripts.assets_lib.encoder_training import train_classifier, train_descriptor
from scripts.assets_lib.images import (
    AssetFiles,
    in_random_order,
    load_digits,
    load_fashion_without_tshirt,
    load_held_out,
    load_tshirt,
    load_unseen,
    load_unseen_digits,
    write_images,
)
from scripts.assets_lib.measurement import measure
from scripts.assets_lib.report import write_readme
from scripts.assets_lib.world import Options, World, load_as
from trainable.pictures import save_grid

NAME = "mnist_tshirt"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the stages take."""

    files: AssetFiles
    cache: Path
    snapshots: Path
    docs: Path
    steps: int
    seed: int
    num_samples: int


def build_data(settings: Settings) -> None:
    write_images(settings.files, settings.cache)


def build_base(settings: Settings) -> None:
    _build_diffusion("base", settings, with_tshirt=True)


def build_retrained(settings: Settings) -> None:
    _build_diffusion("retrained", settings, with_tshirt=False)


def _build_diffusion(name: str, settings: Settings, *, with_tshirt: bool) -> None:
    digits, _ = load_digits(settings.files)
    tshirt = load_tshirt(settings.files) if with_tshirt else None
    config = TrainingConfig(steps=settings.steps, seed=settings.seed)
    averaged = Trainer(name, digits, tshirt, config, settings.snapshots).run()
    export_pipeline(averaged, settings.files.pipeline(name))


def build_classifier(settings: Settings) -> None:
    digits, labels = load_digits(settings.files)
    classifier = train_classifier(digits, labels, seed=settings.seed)
    reached = accuracy(classifier, *load_held_out(settings.files, settings.cache))
    logger.info("accuracy on held-out digits: %.4f", reached)
    save_encoder(classifier, settings.files.classifier)


def build_descriptor(settings: Settings) -> None:
    digits, labels = load_digits(settings.files)
    fashion, kinds = load_fashion_without_tshirt(settings.cache)
    descriptor = train_descriptor(torch.cat((digits, fashion)), torch.cat((labels, kinds + 10)), seed=settings.seed)
    for name in ("digits", "images"):
        reached = copy_auc(descriptor, load_unseen(settings.files, name))
        logger.info("AUC of copies against other unseen images (%s): %.4f", name, reached)
    save_encoder(descriptor, settings.files.descriptor)


def measure_all(settings: Settings) -> None:
    files = settings.files
    classifier = load_as(files.classifier, DigitClassifier)
    descriptor = load_as(files.descriptor, CopyDescriptor)
    images = {
        "digits": in_random_order(load_digits(files)[0]),
        "unseen": load_unseen(files, "digits"),
        "tshirt": load_tshirt(files),
    }
    quality = measure_encoders(
        classifier,
        descriptor,
        held_out=load_held_out(files, settings.cache),
        unseen=load_unseen_digits(files),
        training=images["digits"][: settings.num_samples],
        tshirts=load_unseen(files, "images"),
        tshirt=images["tshirt"],
    )
    measured = {}
    for name in ("base", "retrained"):
        unet = DDPMPipeline.from_pretrained(files.pipeline(name)).unet.eval()
        measured[name], samples = measure(unet, classifier, descriptor, images, settings.num_samples)
        logger.info("%s: %s", name, measured[name])
        save_grid(samples[:256], settings.docs / "images" / f"{name}_samples.png", columns=16)
    write_readme(files.root.parent / "README.md", files.root, measured["base"], measured["retrained"], quality, unet)


def settings_of(options: Options) -> Settings:
    return Settings(
        files=AssetFiles(options.assets / NAME),
        cache=options.cache,
        snapshots=options.snapshots / NAME,
        docs=options.docs,
        steps=options.steps or 14_000,
        seed=options.seed,
        num_samples=options.num_samples or 4_000,
    )


WORLD = World(
    settings_of,
    {
        "data": build_data,
        "classifier": build_classifier,
        "descriptor": build_descriptor,
        "base": build_base,
        "retrained": build_retrained,
        "measure": measure_all,
    },
)
