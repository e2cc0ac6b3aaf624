"""The files of a pipeline: in a directory, or of a hub id in this machine's cache. Nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Parts whose files the earliest pipelines, those of one network, keep beside their ``model_index.json``.
_BESIDE_INDEX = ("unet", "scheduler")


def cached(hub_id: str, name: str) -> Path:
    """Where the hub's cache has a file; a path that is not there where it has none."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(hub_id, name)
    except HFValidationError:
        found = None
    return Path(found) if isinstance(found, str) else Path(hub_id, name, "not cached")


def find_file(model: str, name: str, part: str = "") -> Path | None:
    """A file of a part, None where it is not on this machine.

    Args:
        model: an absolute path, or a hub id.
        name: of the file.
        part: ``unet``, ``scheduler`` …; empty for the pipeline itself.
    """
    places = [f"{part}/{name}"] if part else [name]
    for place in [*places, name] if part in _BESIDE_INDEX else places:
        path = Path(model) / place if Path(model).is_absolute() else cached(model, place)
        if path.is_file():
            return path
    return None


def read_config(model: str, name: str, part: str = "") -> Mapping[str, Any] | None:
    """A JSON file of a part; None where it is not there or cannot be read, which other checks speak of."""
    path = find_file(model, name, part)
    try:
        config = None if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def network_config(model: str) -> Mapping[str, Any] | None:
    """What the network that is trained is built from."""
    return read_config(model, "config.json", "unet")


def scheduler_config(model: str) -> Mapping[str, Any] | None:
    """What the noise schedule is built from."""
    return read_config(model, "scheduler_config.json", "scheduler")
