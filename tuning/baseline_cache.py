"""Baselines kept by content: the same models, images, settings and code give the same numbers, so measure them once.

The key is a hash over the bytes of every file that goes into a baseline, over the settings it depends on, and over the
code that computes it. Whatever changes, the key changes; nothing is ever updated in place.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from trainable.content import content_digest
from tuning.baseline import RETRAINED, UNTOUCHED, UNTOUCHED_SEARCH, Baseline
from tuning.files import StudyFiles
from tuning.schema import StudyConfig, dump

DIRECTORY = ".baselines"
_FILE = "baseline.json"
_PATHS = (
    "model",
    "retrained_model",
    "retain",
    "forget",
    "descriptor",
    "features",
    "classifier",
    "clip",
    "prompts",
    "unseen",
)
_IRRELEVANT = frozenset(
    {"name", "methods", "fix", "enqueue", "warm_start", "searcher", "num_trials", "time_budget", "repeats", "rungs",
     "max_violation", "learning_rate", "adam_betas", "weight_decay", "warmup_steps", "max_grad_norm",
     "max_degenerate_steps", "max_concurrent_trials", "max_failures", "num_confirmed", "gradient_checkpointing",
     "address", "storage_path", "mlflow_tracking_uri", "optuna_storage", "profile", *_PATHS}
)  # fmt: skip
_CODE = ("diffusion", "metrics", "trainable", "tuning/measuring.py")
_PROJECT = Path(__file__).resolve().parent.parent


def content_key(config: StudyConfig) -> str:
    """Hash of all that decides a baseline's values."""
    digest = hashlib.sha256(torch.__version__.encode())
    settings = {name: value for name, value in dump(config).items() if name not in _IRRELEVANT}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for name in _PATHS:
        value = getattr(config, name)
        for location in value if isinstance(value, tuple) else (value,):
            digest.update(f"{name}:{content_digest(location)}".encode())
    for path in _sources(config):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def recall(config: StudyConfig, key: str, files: StudyFiles) -> Baseline | None:
    """The baseline of an earlier study, with its pictures put among this study's; None where there is none."""
    kept = config.local_storage / DIRECTORY / key
    if not (kept / _FILE).is_file():
        return None
    files.images.mkdir(parents=True, exist_ok=True)
    for picture in kept.glob("*.png"):
        shutil.copyfile(picture, files.images / picture.name)
    return Baseline.load(kept / _FILE)


def keep(config: StudyConfig, key: str, baseline: Baseline, files: StudyFiles) -> None:
    """Keep a baseline for later studies in the same storage path."""
    kept = config.local_storage / DIRECTORY / key
    kept.mkdir(parents=True, exist_ok=True)
    for model in (UNTOUCHED, UNTOUCHED_SEARCH, RETRAINED):
        for picture in files.images.glob(f"{model}-*.png"):
            shutil.copyfile(picture, kept / picture.name)
    baseline.save(kept / _FILE)  # last: it is what makes the entry count


def _sources(config: StudyConfig) -> Iterator[Path]:
    for part in _CODE:
        path = _PROJECT / part
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]
    for name in (config.workload, *config.metrics):
        module, colon, _ = name.partition(":")
        if colon:
            yield from _extension(module)


def _extension(module: str) -> list[Path]:
    """The whole package of a module from outside, whose other modules it may import; the file of a lone module."""
    package, dot, _ = module.partition(".")
    spec = importlib.util.find_spec(package)
    if spec is None:
        return []
    folders = spec.submodule_search_locations if dot else None
    if folders is not None:
        return sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin else []
