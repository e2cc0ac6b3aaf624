"""SHA-256 of what a certificate is about: files, pipelines, and weights whatever file they lie in; no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from analysis.load import StudyError
from trainable.content import file_digest
from tuning.model_files import find_file

#: Endings of what a pipeline is read from.
_READ: Final = (".json", ".safetensors", ".txt", ".model")
_NETWORK: Final = "diffusion_pytorch_model"


def place_digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, over lines ``<SHA-256>  <path in it>`` of its files, sorted by path."""
    if path.is_file():
        return file_digest(path)
    lines = [f"{digest}  {name}\n" for name, digest in _files(path, sorted(path.rglob("*"))).items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pipeline_digests(model: str) -> dict[str, str]:
    """File → SHA-256 of every file that a pipeline is read from, weights and configurations.

    Args:
        model: a directory, or a hub id in this machine's cache.

    Raises:
        StudyError: there is no such pipeline on this machine.
    """
    index = find_file(model, "model_index.json")
    if index is None:
        raise StudyError(
            f"a model must be a pipeline on this machine, but {model} has no model_index.json here; "
            "fetch it, or give the directory that has it as --inputs"
        )
    root = index.parent
    return _files(root, (path for path in sorted(root.rglob("*")) if path.suffix in _READ))


def network_digest(model: str) -> str | None:
    """`weights_digest` of a pipeline's network; None where its weights are no safetensors on this machine."""
    index = find_file(model, "model_index.json")
    if index is None:
        return None
    for folder in (index.parent / "unet", index.parent):
        files = [folder / f"{_NETWORK}.safetensors"]
        files = files if files[0].is_file() else sorted(folder.glob(f"{_NETWORK}-*-of-*.safetensors"))
        if files:
            return weights_digest(files)
    return None


def weights_digest(files: Iterable[Path]) -> str:
    """SHA-256 of the tensors in safetensors files: the same whichever files they are spread over, in whatever order.

    Over, for each tensor in the order of their names, ``name NUL type NUL shape NUL`` in UTF-8, the shape as numbers
    with commas, and its bytes as the file has them.

    Raises:
        StudyError: a file is cut short.
    """
    tensors = {name: (file, entry) for file in files for name, entry in _header(file).items()}
    digest = hashlib.sha256()
    for name in sorted(tensors):
        file, entry = tensors[name]
        shape = ",".join(map(str, entry["shape"]))
        digest.update(f"{name}\0{entry['dtype']}\0{shape}\0".encode())
        for block in _bytes(file, *entry["at"]):
            digest.update(block)
    return digest.hexdigest()


def _header(file: Path) -> dict[str, dict[str, Any]]:
    """Name → type, shape and place in the file of each tensor."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            entries: dict[str, Any] = json.loads(stream.read(min(length, file.stat().st_size)))
        entries.pop("__metadata__", None)
        start = 8 + length
        for entry in entries.values():
            first, last = entry["data_offsets"]
            entry["at"] = (start + first, last - first)
        return entries
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"weights must be a whole safetensors file, but {file} cannot be read ({error}); copy it again"
        ) from None


def _bytes(file: Path, start: int, length: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(start)
        while length > 0:
            block = stream.read(min(length, 1 << 20))
            if not block:
                raise StudyError(f"weights must be a whole safetensors file, but {file} is cut short; copy it again")
            yield block
            length -= len(block)


def _files(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): file_digest(path) for path in paths if path.is_file()}
