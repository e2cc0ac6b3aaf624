"""Archives unpacked into a folder of their own: nothing outside of it is touched, and no link is made or followed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.fetch_lib.archive import LARGEST_READ, Entry, open_archive, refused
from scripts.fetch_lib.display import Meter
from scripts.fetch_lib.record import Digest

MAX_FILES: Final = 500_000


def unpack(
    archive: Path, folder: Path, *, max_bytes: int, meter: Meter, max_files: int = MAX_FILES
) -> dict[str, Digest]:
    """Unpack a zip or tar file into a new folder.

    Args:
        archive: the file.
        folder: where to; replaced where it is there already, and removed when anything goes wrong.
        max_bytes: more than that in all is refused.
        meter: is told of the bytes written.
        max_files: more than that are refused.

    Returns:
        What was written: relative path → content.

    Raises:
        ArchiveError: if the archive is damaged or holds anything but files and folders that stay in `folder`.
    """
    written: dict[str, Digest] = {}
    with _new_folder(folder), open_archive(archive, max_bytes) as entries:
        left = max_bytes
        for entry in entries:
            if len(written) == max_files:
                raise refused(archive, f"there must be at most {max_files} files", "more")
            if entry.size > left:
                raise refused(archive, f"the entries must have at most {max_bytes} bytes in all", "more")
            digest = _write(archive, entry, folder, meter)
            left -= digest.size
            written[str(entry.path)] = digest
        if not written:
            raise refused(archive, "an archive must hold files", "none")
    return written


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    remove(folder)
    folder.mkdir(parents=True)
    try:
        yield
    except BaseException:
        remove(folder)
        raise


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it; where a link has its name, the link alone."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _write(archive: Path, entry: Entry, folder: Path, meter: Meter) -> Digest:
    """Write one file that must not be there yet; every folder on its way was made here, so none is a link."""
    path = folder / entry.path
    sha256, size = hashlib.sha256(), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target, entry.open() as source:
            while piece := source.read(LARGEST_READ):
                size += len(piece)
                if size > entry.size:
                    raise refused(archive, f"{entry.path} must have {entry.size} bytes", f"{size} bytes or more")
                target.write(piece)
                sha256.update(piece)
                meter.advance(len(piece))
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise refused(archive, "no two entries must have the same name", repr(str(entry.path))) from error
    if size != entry.size:
        raise refused(archive, f"{entry.path} must have {entry.size} bytes", f"{size} bytes")
    return Digest(size, sha256.hexdigest())
