"""The entries of a zip or tar file, of which only plain files and folders are let through.

Nothing is written here, and no entry's own idea of owner, mode, link or device is used anywhere.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from scripts.fetch_lib.errors import FetchError

#: More than this at once is never asked for, but by a header that lies about its size.
LARGEST_READ: Final = 2**20
_TAR_OPENERS: Final = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))
_DAMAGE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    EOFError,
    ValueError,
)
_DRIVE: Final = re.compile(r"[A-Za-z]:")


class ArchiveError(FetchError):
    """An archive that must not be unpacked, or cannot be."""


@dataclass(frozen=True)
class Entry:
    """One file of an archive.

    Args:
        path: relative, without ``..``.
        size: bytes, as the archive says.
        open: gives the content.
    """

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def refused(archive: Path, rule: str, value: str) -> ArchiveError:
    """The error about an archive; its remedy is the same whatever is wrong."""
    return ArchiveError(rule, f"{value} in {archive.name}", "the archive was removed: find out who made it, then retry")


@contextmanager
def open_archive(archive: Path, max_bytes: int) -> Iterator[Iterator[Entry]]:
    """The files of an archive, in its order; each is read before the next one is asked for.

    Raises:
        ArchiveError: if it is neither zip nor tar, is damaged, or has an entry that is no plain file or folder, that
            leaves the folder it is unpacked to, or that makes more than `max_bytes` in all.
    """
    rule = "an archive must be a whole zip or tar file"
    try:
        if _head(archive).startswith(b"PK"):
            with zipfile.ZipFile(archive) as zipped:
                yield _zip_entries(archive, zipped, max_bytes)
        else:
            with _decompressed(archive) as raw:
                bounded = _Bounded(archive, raw, max_bytes)
                with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as tar:
                    yield _tar_entries(archive, tar, bounded)
    except _DAMAGE as error:
        raise refused(archive, rule, str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is not None:  # the disk's, and not a decompressor's, which has no number
            raise
        raise refused(archive, rule, str(error)) from error


def relative_path(name: str) -> PurePosixPath | None:
    """An entry's name as a path below the folder; None where it would lead out of it or means something else there."""
    if not name or "\0" in name or "\\" in name or name.startswith("/") or _DRIVE.match(name):
        return None
    path = PurePosixPath(name)
    return None if ".." in path.parts else path


def _checked_path(archive: Path, name: str) -> PurePosixPath:
    path = relative_path(name)
    if path is None:
        raise refused(archive, "an entry must stay in the folder it is unpacked to", repr(name))
    return path


def _zip_entries(archive: Path, zipped: zipfile.ZipFile, max_bytes: int) -> Iterator[Entry]:
    infos = zipped.infolist()
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise refused(archive, f"the entries must have at most {max_bytes} bytes in all", f"{total} bytes")
    for info in infos:
        path = _checked_path(archive, info.orig_filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
            raise refused(archive, "an entry must be a plain file or a folder", f"{info.filename!r} of mode {kind:o}")
        if info.flag_bits & 1:
            raise refused(archive, "an entry must not be encrypted", repr(info.filename))
        if not info.is_dir():
            yield Entry(path, info.file_size, partial(zipped.open, info))


def _tar_entries(archive: Path, tar: tarfile.TarFile, stream: _Bounded) -> Iterator[Entry]:
    for member in tar:
        path = _checked_path(archive, member.name)
        if not (member.isreg() or member.isdir()) or member.issparse() or member.size < 0:
            kind = member.type.decode("ascii", "replace")
            raise refused(archive, "an entry must be a plain file or a folder", f"{member.name!r} of type {kind}")
        if member.isreg():
            yield Entry(path, member.size, partial(_tar_content, tar, member))
    if not stream.ends_with_zeros():  # what reads tar files takes a damaged header for the end
        raise refused(archive, "a tar file must end with empty blocks", "something else")


def _tar_content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], tar.extractfile(member))  # of a plain file it is never None


def _decompressed(archive: Path) -> IO[bytes]:
    for magic, opener in _TAR_OPENERS:
        if _head(archive).startswith(magic):
            return cast(IO[bytes], opener(archive, "rb"))
    return archive.open("rb")


def _head(archive: Path) -> bytes:
    with archive.open("rb") as file:
        return file.read(8)


class _Bounded:
    """A stream that goes forward only, and neither far nor in large steps.

    A tar header can ask for any number of bytes in memory, for a place before itself, or for one beyond all bounds;
    behind a compressor a few bytes are enough for each.
    """

    def __init__(self, archive: Path, raw: IO[bytes], max_bytes: int) -> None:
        self._archive, self._raw, self._max_bytes, self._position = archive, raw, max_bytes, 0
        self._last = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise refused(self._archive, f"a header must have at most {LARGEST_READ} bytes", f"{size} bytes")
        piece = self._raw.read(size)
        self._position += len(piece)
        self._check(self._position)
        self._last = piece
        return piece

    def ends_with_zeros(self) -> bool:
        """Whether the piece read last and all that follows is zeros; by that a decompressor's checksum is checked."""
        whole = bool(self._last) and not self._last.strip(b"\0")
        while piece := self.read(LARGEST_READ):
            whole = whole and not piece.strip(b"\0")
        return whole

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise refused(self._archive, "the entries must follow each other", f"a step back to byte {position}")
        self._check(position)
        self._position = self._raw.seek(position)
        return self._position

    def _check(self, position: int) -> None:
        if position > self._max_bytes:
            rule = f"the entries must have at most {self._max_bytes} bytes in all"
            raise refused(self._archive, rule, f"{position} bytes or more")
