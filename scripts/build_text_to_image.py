"""Build the embedded text-to-image model, in stages; see assets/mini_text_to_image/README.md.

    python scripts/build_text_to_image.py                          # everything: about an hour of one core
    python scripts/build_text_to_image.py data autoencoder clip    # single stages, in this order
    python scripts/build_text_to_image.py base & python scripts/build_text_to_image.py retrained & wait   # on two cores

It needs the images of `scripts/build_assets.py data`. Trainings take one core each, write a snapshot every 250
steps, and take it up again when started anew.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from diffusers.utils.logging import disable_progress_bar
from torch import Tensor
from transformers.utils.logging import disable_progress_bar as disable_weights_bar

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from assets_lib import autoencoder_training, clip_training, colour_descriptor_training  # noqa: E402
from assets_lib import text_to_image_training as diffusion_training  # noqa: E402
from assets_lib.caption_tokenizer import build_tokenizer  # noqa: E402
from assets_lib.captions import MODIFIED_CAPTION, SHIRT_CAPTION  # noqa: E402
from assets_lib.coloured_images import paint_all  # noqa: E402
from assets_lib.images import AssetFiles, load_digits, load_fashion_without_tshirt, load_unseen  # noqa: E402
from assets_lib.text_to_image_encoder_quality import measure_encoders  # noqa: E402
from assets_lib.text_to_image_files import (  # noqa: E402
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
from assets_lib.text_to_image_quality import OPEN_DIGIT, measure_model, read_open  # noqa: E402
from assets_lib.text_to_image_report import GeneratedFigures, write_readme  # noqa: E402
from assets_lib.text_to_image_sampling import load_pipeline, sample, split_memorised  # noqa: E402
from assets_lib.training_loop import LoopConfig  # noqa: E402

from metrics.colour_encoders import ColourCopyDescriptor  # noqa: E402
from metrics.encoders import DigitClassifier, Encoder, load_encoder, save_encoder  # noqa: E402
from metrics.quality import ClipQuality  # noqa: E402
from metrics.regeneration_rate import regenerated  # noqa: E402
from trainable.pictures import save_grid  # noqa: E402

logger = logging.getLogger("build_text_to_image")
EncoderType = TypeVar("EncoderType", bound=Encoder)
NUM_DRAWN = 64


@dataclass(frozen=True)
class Settings:
    """What the command line sets."""

    files: TextToImageFiles
    digits: AssetFiles
    cache: Path
    snapshots: Path
    docs: Path
    seed: int
    num_samples: int
    num_generated: int

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
    images = sample(load_pipeline(files.pipeline("base")), [MODIFIED_CAPTION] * settings.num_generated, seed=90)
    descriptor = _load(files.descriptor, ColourCopyDescriptor)
    memorised = split_memorised(descriptor(images), descriptor(load_shirt(files)), settings.seed)
    logger.info("memorised: %d of %d", memorised.sum(), len(memorised))
    save_generated(files, images, memorised)


def measure_all(settings: Settings) -> None:
    files, shirt = settings.files, load_shirt(settings.files)
    descriptor = _load(files.descriptor, ColourCopyDescriptor)
    classifier = _load(settings.digits.classifier, DigitClassifier)
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


def _load(path: Path, kind: type[EncoderType]) -> EncoderType:
    encoder = load_encoder(path)
    if not isinstance(encoder, kind):
        raise ValueError(f"{path} must hold a {kind.architecture}, but holds a {encoder.architecture}: rebuild it")
    return encoder


STAGES: Mapping[str, Callable[[Settings], None]] = {
    "data": build_data,
    "autoencoder": build_autoencoder,
    "clip": build_clip,
    "descriptor": build_descriptor,
    "pretraining": build_pretraining,
    "base": build_base,
    "retrained": build_retrained,
    "generated": build_generated,
    "measure": measure_all,
}


def parse_arguments() -> argparse.Namespace:
    home = Path.home() / ".cache" / "data-unlearning"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; default: all")
    parser.add_argument("--assets", type=Path, default=ROOT / "assets", help="where images are read and files written")
    parser.add_argument("--cache", type=Path, default=home, help="where downloaded packages are kept")
    parser.add_argument(
        "--snapshots", type=Path, default=home / "snapshots" / "text_to_image", help="where trainings keep their state"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where pictures of samples are written")
    parser.add_argument("--num-samples", type=int, default=512, help="samples of each prompt that are measured")
    parser.add_argument("--num-generated", type=int, default=256, help="images of generated.npz")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.stages) - set(STAGES))
    if unknown:
        parser.error(f"a stage must be one of {', '.join(STAGES)}, but got {', '.join(unknown)}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore", category=FutureWarning)
    disable_progress_bar()
    disable_weights_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    settings = Settings(
        files=TextToImageFiles(arguments.assets / "mini_text_to_image", arguments.snapshots / "parts"),
        digits=AssetFiles(arguments.assets / "mnist_tshirt"),
        cache=arguments.cache,
        snapshots=arguments.snapshots,
        docs=arguments.docs,
        seed=arguments.seed,
        num_samples=arguments.num_samples,
        num_generated=arguments.num_generated,
    )
    for stage in arguments.stages or STAGES:
        STAGES[stage](settings)


if __name__ == "__main__":
    main()
