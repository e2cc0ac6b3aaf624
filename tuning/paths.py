"""Files and directories that a configuration names: where they lie and whether they can be used.

Nothing is decoded that would need torch: a safetensors file is checked by its header, an archive by its table.
"""

from __future__ import annotations

import json
import re
import tempfile
import unicodedata
import zipfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tuning.files import StudyFiles
from tuning.problems import Problem
from tuning.schema import is_remote, local_directory

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def resolve_input(path: str) -> str:
    """An absolute path: what exists from the current directory, else from the project root, else the former."""
    given = Path(path).expanduser()
    for candidate in (Path.cwd() / given, PROJECT_ROOT / given):
        if candidate.exists():
            return str(candidate.resolve())
    return str(Path.cwd() / given)


def absolute(path: str) -> Path:
    """An absolute path, from the current directory."""
    return Path.cwd() / Path(path).expanduser()


def resolve_model(model: str) -> str:
    """A model directory as an absolute path; what can only be a hub id as it stands."""
    if _HUB_ID.fullmatch(model) and not Path(resolve_input(model)).exists():
        first = model.split("/")[0]
        if "/" in model and not Path(resolve_input(first)).exists():
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
    """Whether the study can be started under `name`, or resumed."""
    root = local_directory(storage_path) / name
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
    place = Path(storage_path)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return []
    except OSError as error:
        given = f"{storage_path} ({place}: {error.strerror})"
        return [Problem("storage_path must be a directory that can be written", given, "choose another --storage-path")]


def model_problems(field: str, model: str) -> list[Problem]:
    """Whether a model directory is a diffusers pipeline with whole weight files; hub ids pass."""
    directory = Path(model)
    if not directory.is_absolute():
        return []
    rule = f"{field} must be a diffusers pipeline directory or a hub id"
    index = directory / "model_index.json"
    if not directory.is_dir():
        return [Problem(rule, f"{model}, which is not there", "check the path")]
    if not index.is_file():
        return [
            Problem(rule, f"{model}, which has no model_index.json", "save the model with pipeline.save_pretrained")
        ]
    broken = [path for path in (index, *directory.glob("*/*.json")) if not _is_json(path)]
    broken += [path for path in directory.glob("*/*.safetensors") if not _is_safetensors(path)]
    return [
        Problem(f"the files of {field} must be whole", str(path), "fetch or save the model again") for path in broken
    ]


def encoder_problems(field: str, path: str) -> list[Problem]:
    """Whether an encoder file is there and, where it is a safetensors file, whole."""
    file = Path(path)
    if not file.is_file():
        return [Problem(f"{field} must be a file", f"{path}, which is not there", "check the path, or leave it out")]
    if file.suffix == ".safetensors" and not _is_safetensors(file):
        return [Problem(f"{field} must be a whole file", str(file), "fetch or build it again")]
    return []


def images_problems(field: str, path: str) -> list[Problem]:
    """Whether `path` is an .npz archive of arrays, or a directory with at least one image file."""
    place = Path(path)
    if place.is_dir():
        if any(file.suffix.lower() in _IMAGES for file in place.rglob("*")):
            return []
        remedy = f"put image files there ({', '.join(sorted(_IMAGES))})"
        return [Problem(f"{field} must hold images", f"{path}, which has none", remedy)]
    if not place.is_file():
        rule = f"{field} must be a directory of images or an .npz file"
        return [Problem(rule, f"{path}, which is not there", "check the path")]
    if not _is_npz(place):
        return [
            Problem(f"{field} must be a directory of images or a whole .npz file", path, "save it with numpy.savez")
        ]
    return []


def image_size(path: str) -> tuple[int, int]:
    """(width, height) of an image file, which is read to its end.

    Raises:
        ValueError: it is missing, or no whole image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image.size
    except FileNotFoundError:
        raise ValueError("which is not there") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise ValueError("which is no whole image file") from None


def forget_problems(paths: tuple[str, ...]) -> list[Problem]:
    """Whether each forget image is a whole image file."""
    problems = []
    for path in paths:
        try:
            image_size(path)
        except ValueError as error:
            problems.append(Problem("forget must be image files", f"{path}, {error}", "check the path and the file"))
    return problems


def size_problems(paths: tuple[str, ...], model: str) -> list[Problem]:
    """Whether each forget image, where it is whole, has the size that a pixel-space model takes."""
    expected = pixel_size(model)
    if expected is None:
        return []
    rule = f"a forget image must have the model's size, {expected[0]}×{expected[1]} pixels"
    remedy = "scale the image, as the training images were"
    sizes = {path: image_size(path) for path in paths if not forget_problems((path,))}
    return [
        Problem(rule, f"{path}, {width}×{height}", remedy)
        for path, (width, height) in sizes.items()
        if (width, height) != expected
    ]


def pixel_size(model: str) -> tuple[int, int] | None:
    """(width, height) of a local model that works on pixels; None for latent models, hub ids and what does not say."""
    config = Path(model) / "unet" / "config.json"
    if not config.is_file() or not _is_json(config) or (Path(model) / "vae").exists():
        return None
    size = json.loads(config.read_text(encoding="utf-8")).get("sample_size")
    if isinstance(size, int):
        return size, size
    return (int(size[1]), int(size[0])) if isinstance(size, list) and len(size) == 2 else None


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return bool(names) and all(name.endswith(".npy") for name in names) and archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError):
        return False


def _is_safetensors(path: Path) -> bool:
    """Whether header and length agree: 8 bytes of header length, the JSON header, then exactly the tensors' bytes."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if not 0 < length <= size - 8:
                return False
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False
    return size == 8 + length + max(ends, default=0)
