"""Turn the paper's Stable Diffusion data into folders that the study `stable_diffusion` reads.

    python scripts/fetch_assets.py stable_diffusion sscd clip
    python scripts/convert_paper_prompts.py                       # all prompts
    python scripts/convert_paper_prompts.py sylvester_stallone    # one of them

The authors (arXiv 2503.01034) publish for each prompt NAME the images that it made, `kmeans_labels.json` (0 or 1 by
file), `clustering_info.json` (the number of the memorised image), and two files with the original and the modified
prompts, some as pickled embeddings, which are read without running code. Of each, a folder NAME is written:

    images/        the images, with labels.csv
    memorised.png  the image that the prompt has memorised
    prompts.yaml   the prompts of memorised.png
    modified.safetensors    where the modified prompt is an embedding
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from metrics.encoder_files import FETCHED  # noqa: E402
from trainable.workloads.labels import LABELS_FILE  # noqa: E402
from trainable.workloads.prompts import EMBEDDING_ARRAY  # noqa: E402

MEMORISED, PROMPTS, EMBEDDING = "memorised.png", "prompts.yaml", "modified.safetensors"


class ConversionError(ValueError):
    """The data are not as the authors' code reads them."""


@dataclass(frozen=True)
class PaperData:
    """The unpacked archive.

    Attributes:
        folder: holds the two files of prompts, and `sd/NAME/` for each.
        original, modified: NAME to prompt; a modified one may be the path of an embedding.
    """

    folder: Path
    original: Mapping[str, str]
    modified: Mapping[str, str]

    @classmethod
    def find(cls, root: Path) -> PaperData:
        """Raises ConversionError where there is no file of prompts below `root`."""
        found = sorted(root.rglob("original_prompts.json"))
        if not found:
            raise ConversionError(
                f"{root} must hold the paper's data with original_prompts.json, but does not: run "
                "scripts/fetch_assets.py stable_diffusion first, or give --data"
            )
        folder = found[0].parent
        return cls(folder, read_json(found[0]), read_json(folder / "modified_prompts.json"))


def convert(data: PaperData, name: str, target: Path) -> None:
    """Write the folder of one prompt; raises ConversionError where a part of it is missing."""
    source = data.folder / "sd" / name
    labels = read_json(source / "kmeans_labels.json")
    number = read_json(source / "clustering_info.json").get("mem_idx")
    memorised = source / "images" / f"{name}_{number:03d}.png" if isinstance(number, int) else None
    if memorised is None or not memorised.is_file():
        raise ConversionError(f"clustering_info.json of {source} must number the memorised image, but gives {number!r}")
    images = target / "images"
    images.mkdir(parents=True, exist_ok=True)
    for file in map(Path, labels):
        copy_image(source / "images" / file.name, images / file.name)
    shutil.copyfile(memorised, target / MEMORISED)
    write_labels(images / LABELS_FILE, labels)
    prompts = {"image": MEMORISED, "original": data.original[name], "modified": modified_prompt(data, name, target)}
    (target / PROMPTS).write_text(yaml.safe_dump([prompts], allow_unicode=True, sort_keys=False), encoding="utf-8")


def copy_image(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ConversionError(f"the labelled image {source.name} must lie in {source.parent}, but does not")
    shutil.copyfile(source, target)


def write_labels(path: Path, labels: Mapping[str, int]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "memorised"))
        writer.writerows((Path(file).name, int(label)) for file, label in labels.items())


def modified_prompt(data: PaperData, name: str, target: Path) -> str:
    """The text, or the name of the safetensors file that the pickled embedding is written to."""
    prompt = data.modified[name]
    if not prompt.endswith(".pt"):
        return prompt
    file = Path(prompt).name
    places = (data.folder / "sd" / name / file, *sorted(data.folder.rglob(file)))
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ConversionError(f"the embedding {prompt} of {name} must lie below {data.folder}, but does not")
    try:
        embedding = torch.load(found, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError) as error:
        raise ConversionError(f"the embedding {found} must be a tensor and nothing else, but: {error}") from error
    if not isinstance(embedding, torch.Tensor):
        raise ConversionError(f"the embedding {found} must be a tensor, but is a {type(embedding).__name__}")
    save_file({EMBEDDING_ARRAY: embedding.detach().float().contiguous()}, target / EMBEDDING)
    return EMBEDDING


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} must be a JSON file in UTF-8, but cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path} must be a JSON object, but is a {type(content).__name__}")
    return content


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="prompts to convert; default: all")
    parser.add_argument("--data", type=Path, default=FETCHED / "paper_datasets", help="the unpacked archive")
    parser.add_argument("--target", type=Path, default=FETCHED / "paper_prompts", help="where folders are written")
    arguments = parser.parse_args(argv)
    try:
        data = PaperData.find(arguments.data)
        unknown = sorted(set(arguments.names) - set(data.original))
        if unknown:
            parser.error(f"every NAME must be one of {', '.join(data.original)}, but got {', '.join(unknown)}")
        for name in arguments.names or data.original:
            convert(data, name, arguments.target / name)
            sys.stdout.write(f"{arguments.target / name}\n")
    except ConversionError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
