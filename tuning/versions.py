"""By which code a study runs: of the project and of the libraries that decide what is measured and suggested."""

from __future__ import annotations

import hashlib
import platform
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from tuning.paths import PROJECT_ROOT

LIBRARIES: Final = ("torch", "diffusers", "transformers", "ray", "optuna", "mlflow", "moocore", "numpy", "pandas")
PACKAGES: Final = ("diffusion", "metrics", "trainable", "search_spaces", "tuning", "analysis")


def versions() -> dict[str, str]:
    """Name → version. ``code`` is a digest of the project's sources: they may change while its version does not."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "project": str(project["version"]),
        "code": _digest(),
        "python": platform.python_version(),
        **dict(_installed()),
    }


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What changed, as ``torch 2.9.0 → 2.10.0``; what one of the two does not say is left out."""
    return [f"{name} {before[name]} → {now[name]}" for name in now if name in before and before[name] != now[name]]


def _installed() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (PROJECT_ROOT / package).rglob("*.py")):
        digest.update(path.relative_to(PROJECT_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
