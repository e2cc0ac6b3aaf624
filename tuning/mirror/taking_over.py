"""Takes a study's records from the object store, for a machine that goes on where another one stopped."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from trainable.depot import Depot, UnreachableError
from tuning.files import StudyFiles
from tuning.mirror.claims import Claim, claimed
from tuning.mirror.growth import unpack
from tuning.mirror.segments import FOLDER, chains

#: How often records are fetched that a running study merges meanwhile.
TRIES: Final = 5

#: Hears of what is fetched: the study's name, how many parts are here, of how many.
Told = Callable[[str, int, int], None]


def nobody(study: str, done: int, total: int) -> None:
    """Hears nothing."""


def bring_back(storage_path: str, root: Path, told: Told = nobody) -> None:
    """Take the records of a study from the store, unless this machine has the latest.

    It has them where the latest launch was here, and where one on another machine has left no records at all.

    Args:
        storage_path: the store's URL.
        root: the study's directory on this machine.
        told: hears of every part.

    Raises:
        UnreachableError: the store does not answer, refuses, or has what cannot be read.
    """
    files = StudyFiles(root)
    own, latest = Claim.read(files.launch), claimed(files, Depot(files.root, storage_path))
    if own.number and (own == latest or own.number > latest.number):
        return
    for tries_left in reversed(range(TRIES)):
        with tempfile.TemporaryDirectory() as folder:
            copy = StudyFiles(Path(folder) / files.name)
            try:
                of_records = _fetch(Depot(copy.root, storage_path), own, latest, told)
            except FileNotFoundError as error:  # merged since it was listed
                if not tries_left:
                    raise UnreachableError(f"the records in {storage_path} change while they are fetched") from error
                continue
            if copy.study.is_file() and not (own.number and own == of_records):
                _take_over(copy, files)
            return


def _fetch(source: Depot, own: Claim, latest: Claim, told: Told) -> Claim:
    """Have the records in the depot's root, unless they are of the launch `own`; returns the launch that they are of.

    Raises:
        FileNotFoundError: a segment is not there any more.
    """
    found = chains(source.listing(source.root / FOLDER))
    if not found:
        return _fetch_of_before(source, latest, told)
    claim = latest if latest in found else max(found)
    names = [] if own.number and claim == own else found[claim]
    for done, name in enumerate(names, start=1):
        path = source.root / FOLDER / name
        source.download(path)
        try:
            unpack(path, source.root)
        except ValueError as error:
            raise UnreachableError(f"the records in {source.location} cannot be read: {error}") from error
        path.unlink()
        told(source.root.name, done, len(names))
    return claim


def _fetch_of_before(source: Depot, latest: Claim, told: Told) -> Claim:
    """The same of a store from before there were segments: one archive, or from before that each file by itself."""
    files = StudyFiles(source.root)
    names = [name for name, is_folder in source.entries(source.root).items() if not is_folder]
    take = _unpacked(source, files.archive) if files.archive.name in names else _one_by_one(source, names)
    for done, total in take:
        told(files.name, done, total)
    return Claim.read(files.launch) if files.launch.exists() else latest


def _unpacked(source: Depot, archive: Path) -> Iterator[tuple[int, int]]:
    """Fetch the archive and unpack it beside it; yields how many files are there, of how many."""
    source.download(archive)
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        for done, member in enumerate(members, start=1):
            tar.extract(member, source.root, filter="data")
            yield done, len(members)
    archive.unlink()


def _one_by_one(source: Depot, names: Sequence[str]) -> Iterator[tuple[int, int]]:
    for done, name in enumerate(names, start=1):
        source.download(source.root / name)
        yield done, len(names)


def _take_over(copy: StudyFiles, files: StudyFiles) -> None:
    """Replace the records by others, whole files at a time.

    What is here is of no launch of this machine any more, which it forgets first: what is cut off is done again, and
    records that were taken over and not gone on with are never mistaken for the latest.
    """
    taken = [path for path in copy.root.iterdir() if path.is_file() and path != copy.launch]
    files.root.mkdir(parents=True, exist_ok=True)
    files.launch.unlink(missing_ok=True)
    names = {path.name for path in taken}
    for path in files.root.iterdir():
        if path.is_file() and path != files.taken_over and path.name not in names:
            path.unlink()
    files.taken_over.touch()
    for path in taken:
        temporary = files.root / f".{path.name}.{os.getpid()}.tmp"
        shutil.copyfile(path, temporary)
        temporary.replace(files.root / path.name)
