"""Build the embedded assets of the workload `mnist_tshirt`, in stages; see assets/README.md.

    python scripts/build_assets.py                            # everything: about two and a half core-hours
    python scripts/build_assets.py data classifier descriptor # single stages, in this order
    python scripts/build_assets.py base & python scripts/build_assets.py retrained & wait     # on two cores

Trainings take one core each, write a snapshot every 500 steps, and take it up again when started anew.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import DDPMPipeline
from diffusers.utils.logging import disable_progress_bar

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from assets_lib.diffusion_training import Trainer, TrainingConfig, export_pipeline  # noqa: E402
from assets_lib.encoder_quality import accuracy, copy_auc, measure_encoders  # noqa: E402
from assets_lib.encoder_training import train_classifier, train_descriptor  # noqa: E402
from assets_lib.images import (  # noqa: E402
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
from assets_lib.measurement import measure  # noqa: E402
from assets_lib.report import write_readme  # noqa: E402

from metrics.encoders import CopyDescriptor, DigitClassifier, Encoder, load_encoder, save_encoder  # noqa: E402
from trainable.pictures import save_grid  # noqa: E402

logger = logging.getLogger("build_assets")


@dataclass(frozen=True)
class Settings:
    """What the command line sets."""

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
    classifier = _load(files.classifier, DigitClassifier)
    descriptor = _load(files.descriptor, CopyDescriptor)
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


EncoderType = TypeVar("EncoderType", bound=Encoder)


def _load(path: Path, kind: type[EncoderType]) -> EncoderType:
    encoder = load_encoder(path)
    if not isinstance(encoder, kind):
        raise ValueError(f"{path} must hold a {kind.architecture}, but holds a {encoder.architecture}: rebuild it")
    return encoder


STAGES: Mapping[str, Callable[[Settings], None]] = {
    "data": build_data,
    "classifier": build_classifier,
    "descriptor": build_descriptor,
    "base": build_base,
    "retrained": build_retrained,
    "measure": measure_all,
}


def parse_arguments() -> argparse.Namespace:
    home = Path.home() / ".cache" / "data-unlearning"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; default: all")
    parser.add_argument("--assets", type=Path, default=ROOT / "assets" / "mnist_tshirt", help="where they are written")
    parser.add_argument("--cache", type=Path, default=home, help="where downloaded packages are kept")
    parser.add_argument("--snapshots", type=Path, default=home / "snapshots", help="where trainings keep their state")
    parser.add_argument("--steps", type=int, default=14_000, help="optimiser steps of each diffusion training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where pictures of samples are written")
    parser.add_argument("--num-samples", type=int, default=4_000, help="samples of each model that are measured")
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
    settings = Settings(
        files=AssetFiles(arguments.assets),
        cache=arguments.cache,
        snapshots=arguments.snapshots,
        docs=arguments.docs,
        steps=arguments.steps,
        seed=arguments.seed,
        num_samples=arguments.num_samples,
    )
    for stage in arguments.stages or STAGES:
        STAGES[stage](settings)


if __name__ == "__main__":
    main()
