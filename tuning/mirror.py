"""A study's records in the object store of its storage path, so that another machine can go on with it.

The driver writes records on its own disk, where a report is acknowledged, and a thread copies what has changed to the
store. Each launch of a study has a number, so that a machine that resumes it sees whose records are the latest.
"""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from trainable.depot import Depot
from tuning.files import StudyFiles, write_text_atomic

logger = logging.getLogger(__name__)

#: Seconds between two looks at what has changed: what a lost machine takes with it.
PERIOD: Final = 2.0
#: Seconds that the end of a study waits for a store that does not answer.
PATIENCE: Final = 60.0
#: All records of one moment in one object, which a store has whole or not: a machine may be lost while it copies.
ARCHIVE: Final = ".records.tar"
#: How often files that change all the time are tried to be read as they are at one moment.
TRIES: Final = 20

#: File → inode, time of the last change, size.
Marks = dict[Path, tuple[int, int, int]]
#: Hears of files that are fetched: the study's name, how many are here, of how many.
Told = Callable[[str, int, int], None]


class Mirror:
    """Copies the files of a study's directory to its store while the study runs.

    What the store gets is what the files were at one moment: the records and Optuna's journal of different moments
    would contradict each other. So they go there together in one archive, by which a study goes on, and then each by
    itself for whoever looks at one.

    Args:
        files: the study's paths.
        depot: where they go; without an object store there is nothing to do.
    """

    def __init__(self, files: StudyFiles, depot: Depot) -> None:
        self._files, self._depot = files, depot
        self._copied: Marks = {}
        self._closing = threading.Event()
        self._warned = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Copies until the block ends, and then what is left."""
        if self._depot.url is None:
            yield
            return
        thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join(PATIENCE)
            if thread.is_alive() or not self.copy():
                logger.warning("the records in %s are not the latest: resume the study here", self._depot.location)

    def copy(self) -> bool:
        """Copy what has changed, and drop what is gone; whether the store has all of it."""
        if _marks(self._files) == self._copied:
            return True
        try:
            with tempfile.TemporaryDirectory() as folder:
                self._copy_by(Depot(Path(folder) / self._files.name, self._depot.url))
        except OSError as error:
            if not self._warned:
                logger.warning("the records cannot be copied, which is tried again until they can: %s", error)
            self._warned = True
            return False
        self._warned = False
        return True

    def _copy_by(self, staged: Depot) -> None:
        """By way of a copy on this machine; the launch number comes last, since it says that the others are there."""
        marks = _snapshot(self._files, staged.root)
        if _records(marks, self._files) != _records(self._copied, self._files):
            staged.upload(_packed(staged.root, [path.name for path in _records(marks, self._files)]))
        for path in sorted(marks, key=lambda path: path == self._files.launch):
            if self._copied.get(path) != marks[path]:
                staged.upload(staged.root / path.relative_to(self._files.root))
                self._copied[path] = marks[path]
        for path in set(self._copied) - set(marks):
            staged.remove(staged.root / path.relative_to(self._files.root))
            del self._copied[path]

    def _work(self) -> None:
        while not self._closing.wait(PERIOD):
            self.copy()


def _snapshot(files: StudyFiles, target: Path) -> Marks:
    """Copy the records as they are at one moment: again, until none has changed meanwhile.

    Raises:
        OSError: there is no such moment, or no room for a copy.
    """
    for _ in range(TRIES):
        marks = _marks(files)
        shutil.rmtree(target, ignore_errors=True)
        with suppress(FileNotFoundError):  # replaced while it was read
            for path in marks:
                copy = target / path.relative_to(files.root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            if _marks(files) == marks:
                return marks
    raise OSError("they change faster than they can be read")


def _records(marks: Marks, files: StudyFiles) -> Marks:
    """Those of the files of the directory itself."""
    return {path: mark for path, mark in marks.items() if path.parent == files.root}


def _packed(folder: Path, names: Iterable[str]) -> Path:
    """An archive, in a folder, of files of it."""
    archive = folder / ARCHIVE
    with tarfile.open(archive, "w") as tar:
        for name in names:
            tar.add(folder / name, arcname=name)
    return archive


def _marks(files: StudyFiles) -> Marks:
    """Files of the directory itself, and pictures that no worker has handed over, with what tells a change."""
    paths = [path for path in files.root.iterdir() if path.is_file() and not path.name.endswith(".tmp")]
    others = {files.taken_over, files.lock, files.root / ARCHIVE}  # of this machine alone; of the store
    paths = [path for path in paths if path not in others]
    paths += [path for path in files.images.glob("*.png") if not path.name[0].isdigit()]
    found: Marks = {}
    for path in paths:
        with suppress(FileNotFoundError):
            status = path.stat()
            found[path] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def begin_launch(files: StudyFiles) -> None:
    """Number this launch of the study."""
    write_text_atomic(files.launch, f"{_launch(files) + 1}\n")


def nobody(study: str, done: int, total: int) -> None:
    """Hears nothing."""


def bring_back(storage_path: str, root: Path, told: Told = nobody) -> None:
    """Take the records of a study from the store, unless the latest launch was on this machine.

    Args:
        storage_path: the store's URL.
        root: the study's directory on this machine.
        told: hears of every file.

    Raises:
        UnreachableError: the store does not answer, or refuses.
    """
    files = StudyFiles(root)
    with tempfile.TemporaryDirectory() as folder:
        latest = StudyFiles(Path(folder) / files.name)
        source = Depot(latest.root, storage_path)
        names = [name for name, is_folder in source.entries(latest.root).items() if not is_folder]
        take = _unpacked(source) if ARCHIVE in names else _one_by_one(source, names)
        for done, total in take:
            told(files.name, done, total)
        if not latest.study.is_file() or _launch(files) >= _launch(latest):
            return
        _take_over(latest, files)


def _unpacked(source: Depot) -> Iterator[tuple[int, int]]:
    """Fetch the archive into the depot's root and unpack it there; yields how many files are there, of how many."""
    archive = source.root / ARCHIVE
    source.download(archive)
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        for done, member in enumerate(members, start=1):
            tar.extract(member, source.root, filter="data")
            yield done, len(members)
    archive.unlink()


def _one_by_one(source: Depot, names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The same of a store that has no archive yet."""
    for done, name in enumerate(names, start=1):
        source.download(source.root / name)
        yield done, len(names)


def _take_over(latest: StudyFiles, files: StudyFiles) -> None:
    """Replace the records by others, whole files at a time, the launch number last: what is cut off is done again."""
    names = {path.name for path in latest.root.iterdir()}
    files.root.mkdir(parents=True, exist_ok=True)
    for path in files.root.iterdir():
        if path.is_file() and path not in (files.taken_over, files.launch) and path.name not in names:
            path.unlink()
    files.taken_over.touch()
    for name in sorted(names, key=lambda name: name == files.launch.name):
        temporary = files.root / f".{name}.{os.getpid()}.tmp"
        shutil.copyfile(latest.root / name, temporary)
        temporary.replace(files.root / name)


def _launch(files: StudyFiles) -> int:
    """How often the study was launched, by its files; 0 where they do not say."""
    with suppress(FileNotFoundError, ValueError):
        return int(files.launch.read_text())
    return 0
