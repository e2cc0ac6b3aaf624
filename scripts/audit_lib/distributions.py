"""The distributions that the project runs with: those of requirements.txt and all that they require, as installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def required(path: Path) -> dict[str, metadata.Distribution]:
    """Name → distribution, by name, of what a requirements file leads to; what is not installed is left out."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    queue = list(_lines(path))
    while queue:
        requirement = Requirement(queue.pop())
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                found[name] = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            queue += _requirements(found[name], extra)
    return dict(sorted(found.items()))


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            yield text


def _requirements(distribution: metadata.Distribution, extra: str) -> Iterator[str]:
    """What a distribution requires here, for itself or for one of its extras."""
    for text in distribution.requires or ():
        marker = Requirement(text).marker
        if marker is None or marker.evaluate({"extra": extra}):
            yield text
