"""Where a notebook takes its study from: a storage path, a study's directory, or an MLflow store."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from analysis.load import Study, StudyError, load_study
from analysis.mlflow_source import study_from_mlflow
from tuning.files import StudyFiles
from tuning.paths import resolve_input
from tuning.schema import StudyConfig, is_remote, local_directory

__all__ = ["newest_study", "open_study", "study_from_mlflow"]

STORAGE_PATH: Final = str(StudyConfig.model_fields["storage_path"].default)
#: How MLflow stores begin; what follows a "+" is a database driver.
_MLFLOW: Final = frozenset({"http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "file"})
#: Bytes from the end of ``events.jsonl`` that hold its last line.
_TAIL: Final = 1 << 15


def open_study(where: Path | str = STORAGE_PATH, name: str | None = None) -> Study:
    """A study from wherever it is.

    Args:
        where: a storage path, the directory of one study, or an MLflow store: ``http://127.0.0.1:5000``,
            ``sqlite:///runs/mlflow.db``. A relative path counts from the current directory, else from the repository.
        name: which study; none: the newest.

    Raises:
        StudyError: there is no study, or it cannot be read.
    """
    text = str(where)
    scheme = text.partition(":")[0].partition("+")[0].lower()
    if ":" in text and scheme in _MLFLOW:
        return study_from_mlflow(text, name)
    if is_remote(text):
        raise StudyError(
            f"a study must lie on this machine or in MLflow, but got {text}; fetch it first, for instance with "
            "aws s3 sync, and give the directory"
        )
    root = Path(resolve_input(text))
    if name is not None:
        return load_study(root / name)
    return load_study(root) if StudyFiles(root).study.is_file() else newest_study(root)


def newest_study(storage_path: Path | str = STORAGE_PATH) -> Study:
    """The study of a storage path that something happened in last, by its last event, without events by its files.

    Raises:
        StudyError: no directory there has a ``study.yaml``, or the newest study cannot be read.
    """
    storage = Path(resolve_input(str(local_directory(str(storage_path)))))
    try:
        found = [path for path in sorted(storage.iterdir()) if StudyFiles(path).study.is_file()]
    except OSError as error:
        remedy = "give the directory that studies were started with as --storage-path"
        raise StudyError(f"studies must be in a directory that can be read, but got {error}; {remedy}") from None
    if not found:
        raise StudyError(
            f"a study must have a study.yaml, but no directory in {storage} has one; start a study, or give the "
            "directory that studies were started with as --storage-path"
        )
    return load_study(max(found, key=_last_sign))


def _last_sign(root: Path) -> float:
    """Seconds since the epoch."""
    files = StudyFiles(root)
    last = _last_event(files.events)
    if last is not None:
        return last.timestamp()
    changed = [0.0]
    for path in (files.study, files.baseline, files.reports, files.trials, files.front):
        with suppress(OSError):
            changed.append(path.stat().st_mtime)
    return max(changed)


def _last_event(path: Path) -> datetime | None:
    """When the last whole line of ``events.jsonl`` was written; None where there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
            lines = stream.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            time = datetime.fromisoformat(json.loads(line)["time"])
            return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None
