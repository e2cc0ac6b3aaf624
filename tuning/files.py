"""The paths that a study leaves behind, named once, and the atomic writes that keep them whole."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

TRIAL_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
#: Ends the name of a front member's pictures that were drawn when it was re-measured: ``00007-40-final-samples.png``.
FINAL: Final = "final"


@dataclass(frozen=True)
class StudyFiles:
    """Every path below a study's root. Asking for a path creates nothing."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).absolute())

    @property
    def name(self) -> str:
        """The study's name is the name of its directory."""
        return self.root.name

    @property
    def told(self) -> tuple[Path, ...]:
        """The files from which a study can be read without its pictures and models."""
        return self.study, self.baseline, self.reports, self.trials, self.front, self.events, self.timing

    @property
    def study(self) -> Path:
        """The resolved configuration."""
        return self.root / "study.yaml"

    @property
    def warm_start(self) -> Path:
        """What was taken of other studies when this one began."""
        return self.root / "warm_start.json"

    @property
    def baseline(self) -> Path:
        """Metrics of the untouched model and, where there is one, of the retrained model."""
        return self.root / "baseline.json"

    @property
    def reports(self) -> Path:
        """One row per (trial, step)."""
        return self.root / "reports.csv"

    @property
    def trials(self) -> Path:
        """One row per trial, also of those that never reported."""
        return self.root / "trials.csv"

    @property
    def front(self) -> Path:
        """The Pareto front, re-measured with fresh seeds."""
        return self.root / "front.csv"

    @property
    def front_before(self) -> Path:
        """The front of an earlier launch, while the study goes on and has none yet."""
        return self.root / "front_before.csv"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def journal(self) -> Path:
        """Optuna's journal storage."""
        return self.root / "optuna.journal"

    @property
    def ray(self) -> Path:
        """Ray's experiment directory."""
        return self.root / "ray"

    @property
    def checkpoints(self) -> Path:
        """Front members as diffusers pipelines."""
        return self.root / "checkpoints"

    @property
    def candidates(self) -> Path:
        """Weights of every candidate report."""
        return self.root / "candidates"

    @property
    def certificates(self) -> Path:
        """What ``analysis.certificate`` said of this study's models."""
        return self.root / "certificates"

    @property
    def fidelity(self) -> Path:
        """What ``analysis.fidelity`` measured of this study's models."""
        return self.root / "fidelity.csv"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def mlflow_spool(self) -> Path:
        """What MLflow was not told yet."""
        return self.root / "mlflow_spool.jsonl"

    @property
    def mlflow_file_spool(self) -> Path:
        """What of it are files, where MLflow has no place for them at the moment."""
        return self.root / "mlflow_file_spool.jsonl"

    @property
    def timing(self) -> Path:
        """Where the time went; not compared between runs."""
        return self.root / "timing.json"

    @property
    def events(self) -> Path:
        """What happened when: one JSON line an event, of all launches."""
        return self.root / "events.jsonl"

    @property
    def running(self) -> Path:
        """The sign of life of the process that drives the study; gone when it ends."""
        return self.root / ".running.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that drives the study for as long as it lives."""
        return self.root / ".lock"

    @property
    def study_id(self) -> Path:
        """A random id that tells this study from an earlier one of the same name in a shared store."""
        return self.root / ".study_id"

    @property
    def launch(self) -> Path:
        """The last launch on this machine; in an object store the latest on any, which has the study."""
        return self.root / ".launch"

    @property
    def archive(self) -> Path:
        """All records in one file, as an object store had them before they came in segments."""
        return self.root / ".records.tar"

    @property
    def taken_over(self) -> Path:
        """Says that the records came from another machine, until what this machine lacks besides has followed."""
        return self.root / ".taken_over"

    @property
    def mlflow_database(self) -> Path:
        """One MLflow store for all studies of a storage path."""
        return self.root.parent / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.root.parent / "mlartifacts"

    def checkpoint(self, trial_id: str, step: int) -> Path:
        """The pipeline of one front member."""
        return self.checkpoints / _member(trial_id, step)

    def candidate(self, trial_id: str, step: int) -> Path:
        """The weights behind one report, less the suffix; where a trial trains several models, their folder."""
        return self.candidates / _member(trial_id, step)


def _member(trial_id: str, step: int) -> str:
    if not TRIAL_ID.fullmatch(trial_id):
        raise ValueError(
            f"a trial id must consist of letters, digits, '_', '-' and '.', but got {trial_id!r}; "
            "the searcher gives the zero-padded Optuna trial number"
        )
    return f"{trial_id}-{step}"


def write_text_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``: a reader, or a crash, sees the old file or the new one, never a part.

    The directory is made where it is missing. An error leaves the old file and no temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _fsync_directory(path.parent)


def write_csv_atomic(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``path`` by a table: ``columns`` in that order, cells as :func:`csv_cell` writes them.

    Raises:
        ValueError: a row has a key that is no column.
    """
    write_text_atomic(path, csv_text(columns, rows, header=True))


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, header: bool) -> str:
    """Rows as CSV text with ``\\n`` line ends. The same values give the same bytes."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow({key: csv_cell(value) for key, value in row.items()})
    return stream.getvalue()


def csv_cell(value: object) -> str:
    """One value as text that reads back exactly: None is blank, NaN is ``nan``, a float has its shortest form."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's bool is no Integral
        return str(bool(value))
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    return str(value)


def _fsync_directory(path: Path) -> None:
    """Make a rename last through a power cut, where the platform lets a directory be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
