"""Files and directories that a configuration names: where they lie and whether they can be used.

Nothing is decoded that would need torch: a safetensors file is checked by its header. Images are in
``tuning.checks.images``.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

from metrics.encoder_files import PUBLISHED
from tuning.files import StudyFiles
from tuning.problems import Problem
from tuning.schema import is_remote, local_directory

PROJECT_ROOT = Path(__file__).resolve().parent.parent
#: What makes a folder below assets/fetched.
_FETCHERS = {
    "celeba_hq": "python scripts/fetch_assets.py celeba_hq",
    "paper_datasets": "python scripts/fetch_assets.py celeba_hq",
    "stable_diffusion": "python scripts/fetch_assets.py stable_diffusion",
    "paper_prompts": "python scripts/fetch_assets.py stable_diffusion, then python scripts/convert_paper_prompts.py",
}
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def resolve_input(path: str) -> str:
    """An absolute path: what exists from the current directory, else from the project root, else the former."""
    given = expanded(path)
    for candidate in (Path.cwd() / given, PROJECT_ROOT / given):
        if os.path.exists(candidate):  # unlike Path.exists, False for what can be no path
            return str(candidate.resolve())
    return str(Path.cwd() / given)


def resolve_encoder(location: str) -> str:
    """An encoder file as an absolute path; of a published one named, where it lies or would be fetched to."""
    return str(PUBLISHED[location].path) if location in PUBLISHED else resolve_input(location)


def missing_remedy(path: str | Path, otherwise: str = "check the path") -> str:
    """What to do about a path: below assets/fetched, of whatever directory, and not there, it is fetched."""
    parts = Path(path).parts
    for first, second, name in zip(parts, parts[1:], parts[2:], strict=False):
        if (first, second) == ("assets", "fetched") and name in _FETCHERS and not Path(path).exists():
            return f"run {_FETCHERS[name]}"
    return otherwise


def absolute(path: str) -> Path:
    """An absolute path, from the current directory."""
    return Path.cwd() / expanded(path)


def expanded(path: str) -> Path:
    """``~`` and ``~user`` filled in; an unknown user's stands as it is."""
    return Path(os.path.expanduser(path))


def resolve_model(model: str) -> str:
    """A model directory as an absolute path; what can only be a hub id as it stands."""
    if _HUB_ID.fullmatch(model) and not os.path.exists(resolve_input(model)):
        first = model.split("/")[0]
        if "/" in model and not os.path.exists(resolve_input(first)):
            return model
    return resolve_input(model)


def name_problems(name: str) -> list[Problem]:
    """Whether a study's name is one directory name, with letters of any script."""
    rule = "a study's name must be letters, digits, spaces, '.', '_' or '-', starting with a letter, a digit or '_'"
    allowed = all(_is_word(character) or character in " .-" for character in name)
    if not name or not _is_word(name[0]) or not allowed or name != name.strip() or len(name.encode()) > 200:
        return [Problem(rule, name, "choose a name such as 'mnist_tshirt 2'; a directory of that name is made")]
    files = StudyFiles(Path(name))
    if name in (files.mlflow_database.name, files.mlflow_artifacts.name):
        return [Problem("a study's name must not be that of the MLflow store", name, "choose another name")]
    return []


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def study_problems(storage_path: str, name: str, resume: bool) -> list[Problem]:
    """Whether the study can be started under `name`, or resumed; of a name that is none another check speaks."""
    if name_problems(name):
        return []
    root = local_directory(storage_path) / name
    if root.is_symlink() and not root.resolve().is_relative_to(root.parent.resolve()):
        rule = "a study's directory must lie in the storage path, not be a link out of it"
        remedy = "give the directory above the one that it leads to as --storage-path, or remove the link"
        return [Problem(rule, f"{root}, which leads to {root.resolve()}", remedy)]
    exists = root.exists() and not (root.is_dir() and not any(root.iterdir()))
    started = StudyFiles(root).study.is_file()
    if resume and not started:
        rule = "--resume needs a study that was started, with a study.yaml"
        return [Problem(rule, str(root), "leave --resume out, or check --name and --storage-path")]
    if exists and not resume:
        remedy = "give another --name, or --resume to go on with it"
        return [Problem("a study's name must be new", f"{root}, which exists", remedy)]
    return []


def storage_problems(storage_path: str) -> list[Problem]:
    """Whether files can be made in the storage path, or in the nearest directory above it that exists."""
    if is_remote(storage_path):
        return []
    rule = "storage_path must be a directory that can be written"
    if "\0" in storage_path:
        return [Problem(rule, storage_path, "remove the zero byte")]
    place = Path(storage_path)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return []
    except OSError as error:
        return [Problem(rule, f"{storage_path} ({place}: {error.strerror})", "choose another --storage-path")]


def model_problems(field: str, model: str) -> list[Problem]:
    """Whether a model directory is a diffusers pipeline with whole weight files; hub ids pass.

    Which pipeline it is, is asked by ``tuning.checks.models``.
    """
    directory = Path(model)
    if not directory.is_absolute():
        return []
    rule = f"{field} must be a diffusers pipeline directory or a hub id"
    index = directory / "model_index.json"
    if directory.is_file():
        given = f"{model}, which is a single file"
        remedy = "load it where you trust it (from_single_file) and save_pretrained(DIR, safe_serialization=True)"
        return [Problem(rule, given, remedy)]
    if not directory.is_dir():
        return [Problem(rule, f"{model}, which is not there", missing_remedy(model))]
    if not index.is_file():
        return [
            Problem(rule, f"{model}, which has no model_index.json", "save the model with pipeline.save_pretrained")
        ]
    broken = [path for path in (index, *directory.glob("*/*.json")) if not is_json(path)]
    weights = [*directory.glob("*/*.safetensors"), *directory.glob("diffusion_pytorch_model*.safetensors")]
    broken += [path for path in weights if safetensors_header(path) is None]
    return [
        Problem(f"the files of {field} must be whole", str(path), "fetch or save the model again") for path in broken
    ]


def is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError, RecursionError):
        return False


def safetensors_header(path: Path) -> dict[str, Any] | None:
    """The header of a safetensors file, None where header and length disagree.

    That is 8 bytes of header length, the JSON header, then exactly the tensors' bytes.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if not 0 < length <= size - 8:
                return None
            header: dict[str, Any] = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return header if size == 8 + length + max(ends, default=0) else None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None
