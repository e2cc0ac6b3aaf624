"""Where all nodes of a study find its files: a directory that every one sees, or an object store.

Workers and the driver name files by their paths below the study's directory. With a shared directory that is all there
is to it. With an object store the directory is each node's own, and what is written there is handed over to the store,
under the same path, before anybody is told of it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Seconds to wait before each further try at a store; pyarrow has made three in quick succession by then.
DELAYS: Final = (1.0, 4.0, 15.0, 60.0)


#: Calls to a store at a time: each takes some 50 ms in which nothing else is to be done.
NUM_CONNECTIONS: Final = 16


class UnreachableError(OSError):
    """The object store does not answer, or refuses; the message has the location and no key."""


@dataclass(frozen=True)
class Depot:
    """The files of one study.

    Attributes:
        root: the study's directory on this node.
        url: of the object store, as pyarrow takes it (``s3://bucket/prefix``), the study being a folder of the name of
            ``root`` in it. None where all nodes see ``root`` itself. Keys come from the environment of each node.
    """

    root: Path
    url: str | None = None

    @property
    def location(self) -> str:
        """For people: where the files lie."""
        return str(self.root) if self.url is None else f"{self.url.rstrip('/')}/{self.root.name}"

    def filesystem(self) -> tuple[Any, str]:
        """The store and the study's path in it, as pyarrow and Ray take them.

        Raises:
            UnreachableError: the URL is none that pyarrow takes, or its bucket is not there.
        """
        if self.url is None:
            raise ValueError("a study in a shared directory has no object store; ask for `root`")
        store, base = _open(self.url)
        return store, f"{base.rstrip('/')}/{self.root.name}"

    def hand_over(self, paths: Iterable[Path]) -> None:
        """Give files or folders that were written below ``root`` to the store; this node keeps none of them."""
        if self.url is None:
            return
        for path in paths:
            self.upload(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextmanager
    def at_hand(self, path: Path) -> Iterator[Path]:
        """A file below ``root``, on this node while the block runs.

        Raises:
            FileNotFoundError: neither this node nor the store has it.
        """
        was_here = path.exists()
        self.download(path)
        try:
            yield path
        finally:
            if not was_here and self.url is not None:
                path.unlink(missing_ok=True)

    def upload(self, path: Path) -> None:
        """Copy a file or folder below ``root`` to the store, over what it has there."""
        from pyarrow.fs import LocalFileSystem, copy_files

        store, target = self._in_store(path)
        local = LocalFileSystem()
        self._patiently(lambda: copy_files(str(path), target, source_filesystem=local, destination_filesystem=store))

    def download(self, path: Path) -> None:
        """Copy a file or folder below ``root`` from the store, unless it is here; files are here whole or not at all.

        Raises:
            FileNotFoundError: the store has it not; nor has this node, where there is no store.
        """
        if path.exists():
            return
        if self.url is None:
            raise FileNotFoundError(f"{path} is not there")
        from pyarrow.fs import LocalFileSystem, copy_files

        store, source = self._in_store(path)
        local = LocalFileSystem()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of its own: another thread or process may be at the same file.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
            temporary = Path(folder) / path.name
            self._patiently(
                lambda: copy_files(source, str(temporary), source_filesystem=store, destination_filesystem=local)
            )
            if not path.exists():
                temporary.replace(path)

    def bring(self, folder: Path) -> None:
        """Have here what lies in a folder below ``root``; there may be no such folder."""
        for name in self.entries(folder):
            self.download(folder / name)

    def entries(self, folder: Path) -> dict[str, bool]:
        """What lies in a folder below ``root``, here or else in the store: name → whether it is a folder itself.

        Empty where there is no such folder.
        """
        if self.url is None:
            return {path.name: path.is_dir() for path in sorted(folder.iterdir())} if folder.is_dir() else {}
        from pyarrow.fs import FileSelector, FileType

        store, place = self._in_store(folder)
        found = self._patiently(lambda: store.get_file_info(FileSelector(place, allow_not_found=True)))
        return {str(entry.base_name): entry.type == FileType.Directory for entry in found}

    def listing(self, folder: Path) -> list[str]:
        """All files in a folder below ``root`` and in its folders, here or else in the store, by their paths in it.

        Empty where there is no such folder.
        """
        if self.url is None:
            return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        from pyarrow.fs import FileSelector, FileType

        store, place = self._in_store(folder)
        selector = FileSelector(place, allow_not_found=True, recursive=True)
        found = self._patiently(lambda: store.get_file_info(selector))
        return sorted(str(entry.path).removeprefix(f"{place}/") for entry in found if entry.type == FileType.File)

    def in_parallel(self, deed: Callable[[Path], object], paths: Iterable[Path]) -> Iterator[Path]:
        """Do something to paths below ``root``, to several at a time; yields each once it and those before it are done.

        Raises:
            Whatever `deed` raises, for the first path for which it does.
        """
        places = list(paths)
        with ThreadPoolExecutor(NUM_CONNECTIONS) as pool:
            for path, _ in zip(places, pool.map(deed, places), strict=True):
                yield path

    def remove(self, path: Path) -> None:
        """Delete a file or folder below ``root``, on this node and in the store; one that is not there is no error."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if self.url is None:
            return
        from pyarrow.fs import FileType

        store, place = self._in_store(path)

        def delete() -> None:
            kind = store.get_file_info(place).type
            if kind == FileType.Directory:
                store.delete_dir(place)
            elif kind == FileType.File:
                store.delete_file(place)

        self._patiently(delete)

    def _patiently(self, call: Callable[[], T]) -> T:
        """What a call to the store returns; where it does not answer, after some tries more.

        Raises:
            UnreachableError: it did not answer for as long as `DELAYS` are in all.
        """
        for delay in DELAYS:
            try:
                with _reaching(self.location):
                    return call()
            except UnreachableError:
                time.sleep(delay)
        with _reaching(self.location):
            return call()

    def _in_store(self, path: Path) -> tuple[Any, str]:
        store, base = self.filesystem()
        return store, "/".join([base, *path.relative_to(self.root).parts])


@cache
def _open(url: str) -> tuple[Any, str]:
    """The store of a URL and the path that the URL names in it; one connection for a process."""
    from pyarrow.fs import FileSystem, FileType

    with _reaching(url):
        store, path = FileSystem.from_uri(url)
        bucket = str(path).partition("/")[0]
        if store.get_file_info(bucket).type == FileType.NotFound:
            raise OSError(f"there is no bucket {bucket}")
    return store, str(path)


@contextmanager
def _reaching(location: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = str(error).partition(" (Request ID")[0]
        raise UnreachableError(f"{location} cannot be reached: {reason}") from error
