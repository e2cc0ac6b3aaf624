"""What files of a folder were at one moment, and what was added to them since an earlier one.

Records are appended to, or replaced whole. A file is followed by its open handle, so that no other one can get its
inode: one that has the same inode and has grown has been appended to, and only its new end has to be read.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

#: How often files that change all the time are tried to be found as they are at one moment.
TRIES: Final = 50
#: Bytes before the end that are compared, to tell what was appended to from what was cut off and written anew.
TAIL: Final = 4096
#: Says of an archive's files which of them continue what is there, and from where; which are gone.
INDEX: Final = ".index.json"
#: Records are text, of which the fastest level leaves a quarter.
_LEVEL: Final = 1
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Extent:
    """A file at one moment.

    Attributes:
        version: of the contents under this name that do not continue each other, which it was; none has it twice.
        size: bytes.
    """

    version: int
    size: int


#: Path in the folder → what was there.
Moment = Mapping[str, Extent]
_Mark = tuple[int, int, int]


@dataclass
class _Followed:
    stream: BinaryIO
    inode: int
    mark: _Mark | None = None
    extent: Extent = Extent(-1, 0)
    tail: bytes = b""


class Growth:
    """Follows files of a folder.

    Args:
        root: the folder.
        paths: which files there are to follow now.
    """

    def __init__(self, root: Path, paths: Callable[[], Iterable[Path]]) -> None:
        self._root, self._paths = root, paths
        self._followed: dict[str, _Followed] = {}
        self._versions = itertools.count()

    def look(self) -> Moment:
        """The files as they are at one moment: two looks at all of them, between which none has changed.

        Raises:
            OSError: there is no such moment, or a file cannot be read.
        """
        for _ in range(TRIES):
            marks = self._marks()
            with suppress(FileNotFoundError):  # replaced or removed since
                self._follow(marks)
                if self._marks() == marks:
                    return {name: self._extent(name, mark) for name, mark in sorted(marks.items())}
        raise OSError("they change faster than they can be looked at")

    def pack(self, path: Path, since: Moment, now: Moment) -> None:
        """Write an archive of what `now` has and `since` has not, which ``unpacked`` adds to the latter.

        Args:
            path: of the archive.
            since: an earlier moment; an empty one for all there is.
            now: the last one that was looked at.

        Raises:
            OSError: a file was cut off since, or there is no room.
        """
        begins = {name: _begin(since.get(name), extent) for name, extent in now.items() if since.get(name) != extent}
        index = json.dumps({"from": begins, "gone": sorted(set(since) - set(now))}).encode()
        with tarfile.open(path, "w:gz", compresslevel=_LEVEL) as tar:
            tar.addfile(_entry(INDEX, len(index)), io.BytesIO(index))
            for name, begin in begins.items():
                stream = self._followed[name].stream
                stream.seek(begin)
                tar.addfile(_entry(name, now[name].size - begin), stream)

    def copy(self, name: str, extent: Extent, path: Path) -> None:
        """Write a file as it was at the last moment that was looked at.

        Raises:
            OSError: it was cut off since, or there is no room.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        stream, left = self._followed[name].stream, extent.size
        stream.seek(0)
        with path.open("wb") as copy:
            while left:
                if not (content := stream.read(min(left, _CHUNK))):
                    raise OSError(f"{name} was cut off while it was copied")
                left -= copy.write(content)

    def close(self) -> None:
        """Follow nothing any more."""
        for followed in self._followed.values():
            followed.stream.close()
        self._followed = {}

    def _marks(self) -> dict[str, _Mark]:
        found = {}
        for path in self._paths():
            with suppress(FileNotFoundError):
                status = path.stat()
                name = path.relative_to(self._root).as_posix()
                found[name] = (status.st_ino, status.st_mtime_ns, status.st_size)
        return found

    def _follow(self, marks: Mapping[str, _Mark]) -> None:
        """Have the files open that stand there now. One that has been replaced is held until the other is open."""
        for name in set(self._followed) - set(marks):
            self._followed.pop(name).stream.close()
        for name, (inode, _, _) in marks.items():
            before = self._followed.get(name)
            if before is None or before.inode != inode:
                stream = (self._root / name).open("rb", buffering=0)
                self._followed[name] = _Followed(stream, os.fstat(stream.fileno()).st_ino)
                if before is not None:
                    before.stream.close()

    def _extent(self, name: str, mark: _Mark) -> Extent:
        followed, size = self._followed[name], mark[2]
        if mark == followed.mark:
            return followed.extent
        continues = size > followed.extent.size and followed.mark is not None and followed.tail == self._tail(followed)
        version = followed.extent.version if continues else next(self._versions)
        followed.mark, followed.extent = mark, Extent(version, size)
        followed.tail = self._tail(followed)
        return followed.extent

    def _tail(self, followed: _Followed) -> bytes:
        """The end of what the file is known to have."""
        begin = max(0, followed.extent.size - TAIL)
        return os.pread(followed.stream.fileno(), followed.extent.size - begin, begin)


def size_of(since: Moment, now: Moment) -> int:
    """Bytes that `now` has and `since` has not."""
    return sum(extent.size - _begin(since.get(name), extent) for name, extent in now.items())


def unpack(archive: Path, folder: Path) -> None:
    """Add an archive of ``Growth.pack`` to what is in a folder. Only plain files in the folder itself are touched.

    Raises:
        OSError: it cannot be read, is no such archive, or does not continue what is there.
        ValueError: likewise.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            first = tar.next()
            if first is None or first.name != INDEX:
                raise ValueError(f"{archive.name} must begin with {INDEX}, but does not")
            index = json.loads(_content(tar, first))
            begins = {str(name): int(begin) for name, begin in index["from"].items()}
            for name in map(str, index["gone"]):
                (folder / _plain(name)).unlink(missing_ok=True)
            while (member := tar.next()) is not None:
                _add(folder / _plain(member.name), begins[member.name], _content(tar, member))
    except (tarfile.TarError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{archive.name} cannot be read: {error}") from error


def _add(path: Path, begin: int, content: bytes) -> None:
    size = path.stat().st_size if begin else 0
    if begin != size:
        raise ValueError(f"{path.name} must go on from byte {begin}, but there are {size}")
    with path.open("ab" if begin else "wb") as stream:
        stream.write(content)


def _begin(before: Extent | None, now: Extent) -> int:
    """From where on a file is new."""
    return before.size if before is not None and before.version == now.version else 0


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member) if member.isfile() else None
    if stream is None:
        raise ValueError(f"{member.name!r} must be a file, but is none")
    return stream.read()


def _plain(name: str) -> str:
    if PurePosixPath(name).name != name or name in {"", ".", ".."} or "\0" in name:
        raise ValueError(f"names of records must lead to no other folder, but one is {name!r}")
    return name
