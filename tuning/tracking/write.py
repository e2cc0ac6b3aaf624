"""What one MLflow run is to have, as data: every write may be applied twice, which is applying it once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

STUDY_RUN: Final = ""
"""The ``run`` of a write to the study's own run; any other is a trial id."""

RUN_ID: Final = "{run_id}"
EXPERIMENT_ID: Final = "{experiment_id}"
"""In a note, what stands for ids that only the store knows."""

NOTE: Final = "mlflow.note.content"
NOTE_DIGEST: Final = "note_digest"
"""Tags: where MLflow has a description, and by what it is known again that nobody has changed it since."""


@dataclass(frozen=True)
class Point:
    """One value of a metric at a step."""

    key: str
    value: float
    step: int
    time_ms: int


@dataclass(frozen=True)
class Dataset:
    """What a run read: where it lies and how it is known again, never what is in it.

    Args:
        name: for reading.
        digest: 36 characters at most; with the name what tells it from others.
        source: where it lies.
        profile: what else is known of it, as JSON.
        context: what it was used for.
    """

    name: str
    digest: str
    source: str
    profile: str
    context: str


@dataclass(frozen=True)
class Model:
    """A model that a trial made, known again by trial and step.

    Args:
        trial_id: whose it is.
        step: which of its reports.
        name: for reading; without ``/ : . % " '``.
        tags: the last value counts.
        params: given where the model is made.
        metrics: values that belong to it, at its step.
        card: Markdown, its ``README.md``.
        note: its description in Markdown, as of a run.
        folder: a pipeline on this machine to go with it, below the study's directory; None gives the card alone.
        time_ms: when that was known.
    """

    trial_id: str
    step: int
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    card: str = ""
    note: str = ""
    folder: str | None = None
    time_ms: int = 0


@dataclass(frozen=True)
class Write:
    """What one MLflow run is to have. Applying it twice is applying it once.

    Args:
        run: trial id, or :data:`STUDY_RUN`.
        time_ms: when it happened, milliseconds since 1970.
        name: display name, used where the run is created.
        tags: the last value counts.
        params: the first value counts.
        points: metrics, written once per (key, step).
        summaries: metrics that describe the run as a whole; a changed value replaces the old one.
        texts: artifact path → content.
        artifacts: local file → artifact folder; a file that is gone by then is passed over.
        files: artifact path → local file of the same name; as ``artifacts``, where a file is to be in two folders.
        status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
        status_ms: when the run took that status; 0 is ``time_ms``.
        note: the run's description in Markdown, with :data:`RUN_ID` and :data:`EXPERIMENT_ID`; the last one counts. An
            empty one takes away what was written so; what somebody else wrote stays.
        datasets: what it read.
        models: of the study's own run, every model of its front; None says nothing of them.
    """

    run: str
    time_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    points: Sequence[Point] = ()
    summaries: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    status: str | None = None
    status_ms: int = 0
    note: str | None = None
    datasets: Sequence[Dataset] = ()
    models: Sequence[Model] | None = None

    def files_alone(self) -> Write | None:
        """What of it is given as files: artifacts and models; None where nothing is."""
        if not (self.texts or self.artifacts or self.files) and self.models is None:
            return None
        return Write(
            self.run, self.time_ms, texts=self.texts, artifacts=self.artifacts, files=self.files, models=self.models
        )


def merged(writes: Iterable[Write]) -> list[Write]:
    """One write per run, in order of first mention, with the effect of all."""
    by_run: dict[str, Write] = {}
    for write in writes:
        by_run[write.run] = _merge(by_run[write.run], write) if write.run in by_run else write
    return list(by_run.values())


def _merge(first: Write, second: Write) -> Write:
    last = second if second.status else first
    return Write(
        run=first.run,
        time_ms=first.time_ms,
        name=first.name or second.name,
        tags={**first.tags, **second.tags},
        params={**second.params, **first.params},
        points=[*first.points, *second.points],
        summaries={**first.summaries, **second.summaries},
        texts={**first.texts, **second.texts},
        artifacts={**first.artifacts, **second.artifacts},
        files={**first.files, **second.files},
        status=last.status,
        status_ms=last.status_ms or last.time_ms,
        note=first.note if second.note is None else second.note,
        datasets=tuple(dict.fromkeys([*first.datasets, *second.datasets])),
        models=first.models if second.models is None else second.models,
    )


def decode(line: str) -> Write:
    """The write of one line.

    Raises:
        ValueError, TypeError, KeyError: the line is none, for instance torn.
    """
    fields: Any = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError(f"a write must be a mapping, but got {type(fields).__name__}")
    models = fields.get("models")
    parts: dict[str, Any] = {
        "points": [Point(**point) for point in fields["points"]],
        "datasets": tuple(Dataset(**dataset) for dataset in fields.get("datasets", ())),
        "models": None if models is None else [Model(**model) for model in models],
    }
    return Write(**{**fields, **parts})


def note_tags(note: str) -> dict[str, str]:
    """The tags of a description."""
    return {NOTE: note, NOTE_DIGEST: _digest(note)}


def has_own_note(tags: Mapping[str, str]) -> bool:
    """Whether somebody has written a description, or changed the one that was written here."""
    return bool(tags.get(NOTE)) and tags.get(NOTE_DIGEST) != _digest(tags[NOTE])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def labels(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow keeps params and tags; None is left out."""
    return {key: str(value) for key, value in values.items() if value is not None}
