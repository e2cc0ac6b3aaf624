"""What files hold, as one number each: by it things are kept that depend on nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as ``sha256sum`` gives it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_if_readable(path: Path) -> str | None:
    """`file_digest`; None where there is no such file, or it cannot be read."""
    try:
        return file_digest(path) if path.is_file() else None
    except (OSError, ValueError):
        return None


def content_digest(location: str | None) -> str:
    """SHA-256 over the names and bytes of a file or of all files of a directory; what is neither stands for itself."""
    if location is None or not Path(location).exists():
        return str(location)
    path, digest = Path(location), hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode())
            digest.update(bytes.fromhex(file_digest(file)))
    return digest.hexdigest()
