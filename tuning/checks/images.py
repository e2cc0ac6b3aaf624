"""Whether the images that a configuration names are ones that the workloads load, and of the size that the model takes.

Of an archive the header is read, of a folder a few files: the rest is found out when it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainable.workloads.image_files import SUFFIXES, PictureError, archive_shape, image_files, is_archive, open_picture
from tuning.model_files import find_file, network_config, read_config
from tuning.paths import missing_remedy
from tuning.problems import Problem

#: Bytes of a forget image's name, less the ending; files are named after it.
_LONGEST_NAME = 200
_LOOKED_AT = 16
"""Files of a folder that are looked at: the first, and others at equal distances."""


@dataclass(frozen=True)
class PixelShape:
    """What a model takes, a latent one through its autoencoder; ``channels`` is None where it does not say."""

    width: int
    height: int
    channels: int | None


def images_problems(field: str, location: str) -> list[Problem]:
    """Whether `location` is an ``.npz`` with an array ``images``, or a folder with at least one picture."""
    place = Path(location)
    if place.is_dir():
        return _folder_problems(field, place)
    rule = f"{field} must be a directory of images or an .npz file"
    if not place.is_file():
        return [Problem(rule, f"{location}, which is not there", missing_remedy(place))]
    if not is_archive(place):
        return [Problem(rule, f"{location}, which is neither", "give the directory, or save with numpy.savez")]
    try:
        archive_shape(place)
    except ValueError as error:
        rule = f"{field} must be a whole .npz with an array 'images', uint8 of shape (N, H, W) or (N, H, W, C)"
        return [Problem(rule, f"{location}, {error}", "save it with numpy.savez(FILE, images=ARRAY)")]
    return []


def _folder_problems(field: str, folder: Path) -> list[Problem]:
    files = image_files(folder)
    if not files:
        remedy = f"put image files there, not in sub-folders ({', '.join(SUFFIXES)})"
        return [Problem(f"{field} must hold images", f"{folder}, which has none", remedy)]
    return _broken(f"{field} must hold whole image files", _sample(files))


def _broken(rule: str, files: Sequence[Path]) -> list[Problem]:
    problems = []
    for file in files:
        try:
            open_picture(file)
        except PictureError as error:
            problems.append(Problem(rule, f"{file}, {error}", missing_remedy(file, error.remedy)))
    return problems


def _sample(files: Sequence[Path]) -> Sequence[Path]:
    return files[:: max(1, -(-len(files) // _LOOKED_AT))]


def forget_problems(paths: tuple[str, ...]) -> list[Problem]:
    """Whether each forget image is a whole image file, of a name that tables and files can be given."""
    unfit = [path for path in paths if not _is_fit(Path(path).stem)]
    rule = "the name of a forget image must be printable, without '|', not of dots only and of 200 bytes at most"
    named = [Problem(rule, repr(path), "rename the file") for path in unfit]
    return named + _broken("forget must be image files", [Path(path) for path in paths])


def _is_fit(name: str) -> bool:
    """Whether models may be stored under a name; '|' parts the names of images in reports."""
    return name.isprintable() and "|" not in name and bool(name.strip(". ")) and len(name.encode()) <= _LONGEST_NAME


def forget_name_problems(separately: bool, paths: Sequence[str]) -> list[Problem]:
    """Whether images that are unlearned one at a time can name the models that unlearned them."""
    names = [Path(path).stem for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not separately or not twice:
        return []
    rule = "forget images that are unlearned one at a time must differ in their file names"
    return [Problem(rule, f"{', '.join(twice)} twice", "rename one of the files")]


def forget_size_problems(paths: tuple[str, ...], model: str) -> list[Problem]:
    """Whether each forget image has the size that the model takes."""
    return [problem for path in paths for problem in size_problems("forget", path, model)]


def size_problems(field: str, location: str, model: str) -> list[Problem]:
    """Whether images have the size, and arrays the channels, that a model takes.

    Of a folder the first picture that differs is named; what cannot be read is the finding of another check.
    """
    expected = pixel_shape(model)
    if expected is None:
        return []
    place = Path(location)
    if is_archive(place):
        return _array_problems(field, place, expected)
    wanted = (expected.width, expected.height)
    files = _sample(image_files(place)) if place.is_dir() else [place]
    sizes = {file: open_picture(file).size for file in files if not _broken("", [file])}
    return [_size_problem(field, file, size, expected) for file, size in sizes.items() if size != wanted][:1]


def _array_problems(field: str, path: Path, expected: PixelShape) -> list[Problem]:
    try:
        _, height, width, *rest = archive_shape(path)
    except ValueError:
        return []
    channels, problems = rest[0] if rest else 1, []
    if (width, height) != (expected.width, expected.height):
        problems.append(_size_problem(field, path, (width, height), expected))
    if expected.channels not in (None, channels):
        rule = f"{field} images must have the model's number of channels, {expected.channels}"
        problems.append(Problem(rule, f"{path}, {channels}", "convert the images, as the training images were"))
    return problems


def _size_problem(field: str, path: Path, size: tuple[int, int], expected: PixelShape) -> Problem:
    rule = f"{field} images must have the model's size, {expected.width}×{expected.height} pixels"
    remedy = "scale the images to it, as the training images were"
    return Problem(rule, f"{path}, {size[0]}×{size[1]}", remedy)


def pixel_shape(model: str) -> PixelShape | None:
    """What a model takes that is on this machine; None where it does not say."""
    config = network_config(model) or {}
    size, channels = config.get("sample_size"), config.get("in_channels")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    if not is_latent(model):
        return PixelShape(width, height, channels if isinstance(channels, int) else None)
    blocks = (read_config(model, "config.json", "vae") or {}).get("block_out_channels")
    if not isinstance(blocks, list) or not blocks:
        return None
    factor = 2 ** (len(blocks) - 1)
    return PixelShape(width * factor, height * factor, 3)


def is_latent(model: str) -> bool:
    """Whether a model on this machine works on what an autoencoder makes of images."""
    return find_file(model, "config.json", "vae") is not None
