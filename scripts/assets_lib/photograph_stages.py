"""The world `photographs`, in stages: squares of photographs, a memorised one, their features and a copy descriptor."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from metrics.encoders import save_encoder
from metrics.photograph_encoders import PhotographCopyDescriptor, PhotographFeatures
from scripts.assets_lib.augmentations import mirror
from scripts.assets_lib.diffusion_training import Trainer, TrainingConfig, build_scheduler, export_pipeline
from scripts.assets_lib.encoder_quality import copy_auc
from scripts.assets_lib.encoder_training import train_descriptor
from scripts.assets_lib.photograph_measurement import measure_photograph_encoders, measure_photographs, open_workload
from scripts.assets_lib.photograph_report import write_photographs_readme
from scripts.assets_lib.photograph_training import train_features
from scripts.assets_lib.photographs import (
    PhotographFiles,
    load_crops,
    load_forget,
    load_retain,
    load_unseen,
    mirrored,
    write_photographs,
)
from scripts.assets_lib.world import Options, World, load_as
from trainable.pictures import save_grid

NAME = "photographs"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the stages take."""

    files: PhotographFiles
    cache: Path
    snapshots: Path
    docs: Path
    training: TrainingConfig
    num_samples: int

    @property
    def seed(self) -> int:
        return self.training.seed


def build_data(settings: Settings) -> None:
    write_photographs(settings.files, settings.cache)


def build_descriptor(settings: Settings) -> None:
    """Tiles are a kind of their own, so that half of every second batch is tiles: the hard case."""
    kinds = (mirrored(load_retain(settings.files)), load_crops(settings.cache))
    labels = torch.cat([torch.full((len(images),), kind) for kind, images in enumerate(kinds)])
    descriptor = train_descriptor(
        torch.cat(kinds), labels, architecture=PhotographCopyDescriptor, steps=1500, batch_size=128, seed=settings.seed
    )
    reached = copy_auc(descriptor, mirrored(load_unseen(settings.files)))
    logger.info("AUC of copies against other unseen images: %.4f", reached)
    save_encoder(descriptor.half(), settings.files.descriptor)


def build_features(settings: Settings) -> None:
    features = train_features(load_retain(settings.files), seed=settings.seed)
    save_encoder(features.half(), settings.files.features)


def build_base(settings: Settings) -> None:
    files = settings.files
    trainer = Trainer(
        "base", load_retain(files), load_forget(files), settings.training, settings.snapshots, augment=mirror
    )
    export_pipeline(trainer.run().half(), files.base, build_scheduler(thresholding=True))


def measure_all(settings: Settings) -> None:
    files = settings.files
    descriptor = load_as(files.descriptor, PhotographCopyDescriptor)
    features = load_as(files.features, PhotographFeatures)
    groups = {"retain": load_retain(files), "forget": load_forget(files), "unseen": load_unseen(files)}
    encoders = measure_photograph_encoders(descriptor, features, groups)
    workload = open_workload(files)
    measured, samples = measure_photographs(workload, groups["unseen"], settings.num_samples)
    logger.info("%s", measured)
    save_grid(samples[:96], settings.docs / "images" / "photographs_samples.png", columns=16)
    unet = workload.load(workload.settings.model).network
    write_photographs_readme(files.root, measured, encoders, unet, settings.training)


def settings_of(options: Options) -> Settings:
    training = TrainingConfig(
        steps=options.steps or 10_000,
        batch_size=32,
        peak_lr=1e-3,
        warmup_steps=300,
        forget_share=0.03,
        seed=options.seed,
        export_every=1_000,
    )
    return Settings(
        files=PhotographFiles(options.assets / NAME),
        cache=options.cache,
        snapshots=options.snapshots / NAME,
        docs=options.docs,
        training=training,
        num_samples=options.num_samples or 1_000,
    )


WORLD = World(
    settings_of,
    {
        "data": build_data,
        "descriptor": build_descriptor,
        "features": build_features,
        "base": build_base,
        "measure": measure_all,
    },
)
