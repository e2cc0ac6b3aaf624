"""What was fetched, by size and SHA-256, kept in a file beside it: ``<name>.lock.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from scripts.fetch_lib.display import Meter
from scripts.fetch_lib.errors import FetchError
from tuning.files import write_text_atomic

CHUNK: Final = 2**20
PUBLISHED: Final = "the published one"


@dataclass(frozen=True)
class Digest:
    """A file's content: its size in bytes and the SHA-256 as hexadecimal digits."""

    size: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.size} bytes, sha256 {self.sha256}"


@dataclass(frozen=True)
class Known:
    """What a file must be, as far as anybody said.

    Args:
        size: bytes, or None.
        sha256: hexadecimal digits, or None.
        origin: who said so, as errors put it.
        remedy: what to do about a download that is something else.
    """

    size: int | None = None
    sha256: str | None = None
    origin: str = PUBLISHED
    remedy: str = "run the command again, or find out who changed the file"

    def matches(self, digest: Digest) -> bool:
        return self.size in (None, digest.size) and self.sha256 in (None, digest.sha256)

    def mismatch(self, name: str, found: Digest | str, remedy: str | None = None) -> FetchError:
        """The error about `name`, which was found to be something else; without a remedy, as for a download."""
        size = [] if self.size is None else [f"{self.size} bytes"]
        sha256 = [] if self.sha256 is None else [f"sha256 {self.sha256}"]
        rule = f"the content of {name} must be {self.origin} ({', '.join(size + sha256)})"
        return FetchError(rule, str(found), remedy or self.remedy)


@dataclass(frozen=True)
class Record:
    """One download.

    Args:
        source: the URL, or the hub repository with its commit.
        basis: what the digests rest on, for readers.
        files: relative path → content.
        archive: the archive that the files came from; None where there was none.
    """

    source: str
    basis: str
    files: Mapping[str, Digest] = field(default_factory=dict)
    archive: Digest | None = None


def record_path(path: Path) -> Path:
    """The record of a fetched file or folder, beside it."""
    return path.with_name(f"{path.name}.lock.json")


def write_record(path: Path, record: Record) -> None:
    """Write the record of the file or folder `path`."""
    write_text_atomic(record_path(path), json.dumps(asdict(record), indent=1, sort_keys=True) + "\n")


def read_record(path: Path) -> Record | None:
    """The record of the file or folder `path`; None where there is none.

    Raises:
        FetchError: if it cannot be read.
    """
    place = record_path(path)
    try:
        raw = json.loads(place.read_text(encoding="utf-8"))
        archive = None if raw["archive"] is None else _digest(raw["archive"])
        files = {str(name): _digest(value) for name, value in raw["files"].items()}
        return Record(str(raw["source"]), str(raw["basis"]), files, archive)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        remedy = f"delete {place} and {path} and run the command again"
        raise FetchError("a record of a download must be readable", f"{place} ({error!r})", remedy) from error


def _digest(raw: Mapping[str, object]) -> Digest:
    size, sha256 = raw["size"], raw["sha256"]
    if not isinstance(size, int) or not isinstance(sha256, str):
        raise TypeError(f"a digest has a size and a sha256, but this one is {raw}")
    return Digest(size, sha256)


def digest_of(path: Path, meter: Meter | None = None) -> Digest:
    """Read a file and give its content's digest; the meter, if any, is told of every piece."""
    sha256, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            size += len(chunk)
            if meter is not None:
                meter.advance(len(chunk))
    return Digest(size, sha256.hexdigest())


def verify_files(folder: Path, files: Mapping[str, Digest], meter: Meter) -> None:
    """Check every file of a folder against its record; files that the record lacks are of no concern.

    Raises:
        FetchError: at the first file that is missing, a link, or of other content.
    """
    meter.expect(sum(digest.size for digest in files.values()))
    for name, digest in files.items():
        path = folder / name
        remedy = f"delete {folder} (not the record beside it) and run the command again"
        if path.is_symlink() or not path.is_file():
            raise FetchError(f"{folder} must hold every file of its record", f"no file {name}", remedy)
        known = Known(digest.size, digest.sha256, "that of its record")
        if not known.matches(found := digest_of(path, meter)):
            raise known.mismatch(str(path), found, remedy)
