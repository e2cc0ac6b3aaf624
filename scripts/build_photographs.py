"""Build the embedded assets of the study `photographs`, in stages; see assets/photographs/README.md.

    python scripts/build_photographs.py                          # everything: about an hour and a half of one core
    python scripts/build_photographs.py data descriptor features # single stages, in this order
    python scripts/build_photographs.py base & python scripts/build_photographs.py retrained & wait     # on two cores

Trainings take one core each, write a snapshot every 500 steps, and take it up again when started anew.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from assets_lib.augmentations import mirror  # noqa: E402
from assets_lib.diffusion_training import Trainer, TrainingConfig, export_pipeline  # noqa: E402
from assets_lib.encoder_quality import copy_auc  # noqa: E402
from assets_lib.encoder_training import train_descriptor  # noqa: E402
from assets_lib.photograph_measurement import measure_photograph_encoders, measure_photographs, open_workload  # noqa: E402
from assets_lib.photograph_report import write_photographs_readme  # noqa: E402
from assets_lib.photograph_training import train_features  # noqa: E402
from assets_lib.photographs import (  # noqa: E402
    PhotographFiles,
    load_crops,
    load_forget,
    load_retain,
    load_unseen,
    mirrored,
    write_photographs,
)

from metrics.encoders import load_encoder, save_encoder  # noqa: E402
from metrics.photograph_encoders import PhotographCopyDescriptor, PhotographFeatures  # noqa: E402
from trainable.pictures import save_grid  # noqa: E402

logger = logging.getLogger("build_photographs")


@dataclass(frozen=True)
class Settings:
    """What the command line sets."""

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
    _build_diffusion("base", settings, with_forget=True)


def build_retrained(settings: Settings) -> None:
    _build_diffusion("retrained", settings, with_forget=False)


def _build_diffusion(name: str, settings: Settings, *, with_forget: bool) -> None:
    files = settings.files
    forget = load_forget(files) if with_forget else None
    trainer = Trainer(name, load_retain(files), forget, settings.training, settings.snapshots, augment=mirror)
    export_pipeline(trainer.run().half(), files.pipeline(name))


def measure_all(settings: Settings) -> None:
    files = settings.files
    descriptor, features = load_encoder(files.descriptor), load_encoder(files.features)
    if not (isinstance(descriptor, PhotographCopyDescriptor) and isinstance(features, PhotographFeatures)):
        raise ValueError(f"{files.descriptor} and {files.features} must hold encoders of photographs: rebuild them")
    groups = {
        "retain": load_retain(files),
        "forget": load_forget(files),
        "unseen": load_unseen(files),
    }
    encoders = measure_photograph_encoders(descriptor, features, groups)
    workload, measured = open_workload(files), {}
    for name in ("base", "retrained"):
        model = str(files.pipeline(name))
        measured[name], samples = measure_photographs(workload, model, groups["unseen"], settings.num_samples)
        logger.info("%s: %s", name, measured[name])
        if name == "base":
            save_grid(samples[:96], settings.docs / "images" / "photographs_samples.png", columns=16)
    unet = workload.load(workload.settings.model).network
    write_photographs_readme(files.root, measured, encoders, unet, settings.training)


STAGES: Mapping[str, Callable[[Settings], None]] = {
    "data": build_data,
    "descriptor": build_descriptor,
    "features": build_features,
    "base": build_base,
    "retrained": build_retrained,
    "measure": measure_all,
}


def parse_arguments() -> argparse.Namespace:
    home = Path.home() / ".cache" / "data-unlearning"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; default: all")
    parser.add_argument("--assets", type=Path, default=ROOT / "assets" / "photographs", help="where they are written")
    parser.add_argument("--cache", type=Path, default=home, help="where downloaded packages are kept")
    parser.add_argument("--snapshots", type=Path, default=home / "photographs", help="where trainings keep their state")
    parser.add_argument("--steps", type=int, default=10_000, help="optimiser steps of each diffusion training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the picture of samples is written")
    parser.add_argument("--num-samples", type=int, default=2_000, help="samples of each model that are measured")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.stages) - set(STAGES))
    if unknown:
        parser.error(f"a stage must be one of {', '.join(STAGES)}, but got {', '.join(unknown)}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    disable_progress_bar()
    torch.set_num_threads(1)
    training = TrainingConfig(
        steps=arguments.steps,
        batch_size=32,
        peak_lr=1e-3,
        warmup_steps=300,
        forget_share=0.03,
        seed=arguments.seed,
        export_every=1_000,
    )
    settings = Settings(
        files=PhotographFiles(arguments.assets),
        cache=arguments.cache,
        snapshots=arguments.snapshots,
        docs=arguments.docs,
        training=training,
        num_samples=arguments.num_samples,
    )
    for stage in arguments.stages or STAGES:
        STAGES[stage](settings)


if __name__ == "__main__":
    main()
