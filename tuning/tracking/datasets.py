"""The images of a study as an MLflow store knows data sets: name, digest, place and size, never what they show."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from trainable.content import digest_if_readable
from tuning.schema import StudyConfig
from tuning.tracking.write import Dataset

#: Hexadecimal digits of a digest, of which MLflow takes 36.
DIGITS: Final = 32
#: Bytes of a file that is read for its digest; of larger ones, and of directories, names and sizes have to do.
LARGEST: Final = 1 << 28


def datasets_of(config: StudyConfig) -> list[Dataset]:
    """The images to keep and those to forget, as far as they are on this machine."""
    sets = [("retain", (config.retain,)), ("forget", config.forget)]
    return [found for context, places in sets if (found := _dataset(context, [Path(place) for place in places]))]


def _dataset(context: str, places: Sequence[Path]) -> Dataset | None:
    try:
        files = [file for place in places for file in _files(place)]
        size = sum(file.stat().st_size for _, file in files)
        digest, made_of = _digest(files, size, single=len(places) == 1 and places[0].is_file())
    except OSError:  # what cannot be read here may lie on the workers' machines
        return None
    if not files:
        return None
    name = places[0].name if len(places) == 1 else f"{len(places)} images"
    profile = {"num_files": len(files), "num_bytes": size, "sha256": digest, "sha256_of": made_of}
    source = {"uri": str(places[0])} if len(places) == 1 else {"uris": [str(place) for place in places]}
    return Dataset(name, digest[:DIGITS], json.dumps(source), json.dumps(profile), context)


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """Each file with the name by which it counts; raises OSError where there is nothing."""
    if not place.is_dir():
        place.stat()
        yield place.name, place
        return
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():
                yield file.relative_to(place).as_posix(), file


def _digest(files: Sequence[tuple[str, Path]], size: int, *, single: bool) -> tuple[str, str]:
    """A digest and what it is one of."""
    if single and size <= LARGEST and (found := digest_if_readable(files[0][1])):
        return found, "the file"
    contents = [digest_if_readable(file) for _, file in files] if size <= LARGEST else [None]
    if all(contents):
        return hashlib.sha256("".join(map(str, contents)).encode()).hexdigest(), "the digests of the files"
    sizes = "".join(f"{name}\0{file.stat().st_size}\0" for name, file in files)
    return hashlib.sha256(sizes.encode()).hexdigest(), "names and sizes of the files"
