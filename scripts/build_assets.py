"""Build the embedded worlds, each in stages; assets/ says what they hold and how good they are.

    python scripts/build_assets.py                                          # everything: about six core-hours
    python scripts/build_assets.py mnist_tshirt                             # one world
    python scripts/build_assets.py photographs data descriptor features     # single stages, in this order
    python scripts/build_assets.py photographs base & python scripts/build_assets.py photographs retrained & wait

Trainings take one core each, keep their state, and go on from it when started anew.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar
from transformers.utils.logging import disable_progress_bar as disable_weights_bar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.assets_lib import mnist_tshirt_stages, photograph_stages, text_to_image_stages  # noqa: E402
from scripts.assets_lib.world import Options, World  # noqa: E402

WORLDS: Mapping[str, World] = {
    module.NAME: module.WORLD for module in (mnist_tshirt_stages, photograph_stages, text_to_image_stages)
}


def parse_arguments() -> argparse.Namespace:
    home = Path.home() / ".cache" / "data-unlearning"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=stages_text()
    )
    parser.add_argument("world", nargs="?", choices=WORLDS, help="default: all")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="default: all of the world's")
    parser.add_argument("--assets", type=Path, default=ROOT / "assets", help="where they are written")
    parser.add_argument("--cache", type=Path, default=home, help="where downloaded packages are kept")
    parser.add_argument("--snapshots", type=Path, default=home / "snapshots", help="where trainings keep their state")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where pictures of samples are written")
    parser.add_argument("--steps", type=int, help="optimiser steps of each pixel model; default: the world's")
    parser.add_argument("--num-samples", type=int, help="samples of each model that are measured; likewise")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    known = WORLDS[arguments.world].stages if arguments.world else {}
    unknown = sorted(set(arguments.stages) - set(known))
    if unknown:
        parser.error(f"a stage must be one of {', '.join(known)}, but got {', '.join(unknown)}")
    return arguments


def stages_text() -> str:
    return "stages\n" + "\n".join(f"  {name}: {', '.join(world.stages)}" for name, world in WORLDS.items())


def main() -> None:
    arguments = vars(parse_arguments())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore", category=FutureWarning)
    disable_progress_bar()
    disable_weights_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    chosen, stages = arguments.pop("world"), arguments.pop("stages")
    for name in [chosen] if chosen else WORLDS:
        WORLDS[name].build(Options(**arguments), stages)


if __name__ == "__main__":
    main()
