"""Applies writes to an MLflow store so that applying them again changes nothing.

MLflow itself creates a second run, and a second value of a metric, for whatever it is told twice. Here a run is found
by its tags before it is made, and a metric's history is read before a run that existed is written to.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from trainable.depot import Depot
from tuning.tracking.client import open_client
from tuning.tracking.key import StudyKey
from tuning.tracking.models import Models
from tuning.tracking.write import (
    EXPERIMENT_ID,
    NOTE,
    RUN_ID,
    STUDY_RUN,
    Dataset,
    Point,
    Write,
    has_own_note,
    merged,
    note_tags,
)

logger = logging.getLogger(__name__)

POINTS_PER_REQUEST: Final = 800  # MLflow takes 1000 metrics, and 100 params or tags, in one batch
LABELS_PER_REQUEST: Final = 100
REFUSED: Final = "INVALID_PARAMETER_VALUE"
#: What a server of before datasets, or of before logged models, answers to them.
UNKNOWN: Final = frozenset({"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"})


@dataclass
class _Run:
    """What a run is known to have."""

    run_id: str
    status: str = "RUNNING"
    params: set[str] = field(default_factory=set)
    points: set[tuple[str, int]] = field(default_factory=set)
    latest: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    history_read: bool = True


class MlflowStore:
    """One study's runs in one MLflow store. Made and used by one thread; the first use creates a fresh database.

    Args:
        tracking_uri: of the store.
        key: which runs are the study's.
        depot: where artifacts are that workers have handed over.

    Raises:
        Exception: whatever MLflow, its database driver or the network raise. A new store starts from what was written.
    """

    def __init__(self, tracking_uri: str, key: StudyKey, depot: Depot | None = None) -> None:
        self._client = open_client(tracking_uri)
        self._key, self._depot = key, depot
        experiment = self._find_or_create_experiment()
        self._experiment_id = str(experiment.experiment_id)
        #: Where the store has artifacts put: a URI.
        self.artifacts = str(experiment.artifact_location)
        self._runs = dict(self._existing_runs())
        self._models = Models(self._client, self._experiment_id, key)

    @property
    def run_ids(self) -> dict[str, str]:
        """trial id → run id; the study's own run under :data:`STUDY_RUN`."""
        return {name: run.run_id for name, run in self._runs.items()}

    def apply(self, writes: Sequence[Write]) -> None:
        """Bring runs to where they have what `writes` say, but for files. What MLflow refuses is dropped, and said."""
        for write in merged(writes):
            with self._accepting(f"a write to run {write.run or self._key.study!r}"):
                self._apply(write)

    def hand_over(self, writes: Sequence[Write]) -> None:
        """Bring the files of `writes` to where the store has artifacts, and the front's models."""
        together = merged(writes)
        for write in together:
            with self._accepting(f"a file of run {write.run or self._key.study!r}"):
                self._log_files(self._runs.get(write.run) or self._create_run(write), write)
        for write in together:  # models come last: they belong to trials' runs
            if write.models is not None:
                with self._accepting("the models of the front", older=True):
                    self._models.apply(write.models, self.run_ids)

    @contextmanager
    def _accepting(self, what: str, *, older: bool = False) -> Iterator[None]:
        """What MLflow refuses is dropped with a warning; so is what an ``older`` server does not know."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            if older and error.error_code in UNKNOWN:
                logger.warning("MLflow's server is too old for %s, which it has to do without", what)
            elif error.error_code == REFUSED:
                logger.warning("MLflow refused %s: %s", what, error)
            else:
                raise

    def _apply(self, write: Write) -> None:
        run = self._runs.get(write.run) or self._create_run(write)
        self._log(run, write)
        if write.note is not None:
            self._set_note(run, write.note)
        if write.datasets:
            with self._accepting("data sets", older=True):
                self._client.log_inputs(run.run_id, [_input(dataset) for dataset in write.datasets])
        self._set_status(run, write)

    def _log_files(self, run: _Run, write: Write) -> None:
        for name, text in write.texts.items():
            self._client.log_text(run.run_id, text, name)
        for path, folder in write.artifacts.items():
            self._log_file(run, Path(path), folder)
        for place, path in write.files.items():
            self._log_file(run, Path(path), place.rpartition("/")[0])

    def _set_note(self, run: _Run, note: str) -> None:
        """A run's description, unless somebody has written one of their own."""
        from mlflow.entities import RunTag

        if not note and NOTE not in run.tags:
            return
        tags = self._client.get_run(run.run_id).data.tags
        filled = note.replace(RUN_ID, run.run_id).replace(EXPERIMENT_ID, self._experiment_id)
        if tags.get(NOTE, "") != filled and not has_own_note(tags):
            written = note_tags(filled)
            self._client.log_batch(run.run_id, tags=[RunTag(key, value) for key, value in written.items()])
            run.tags |= written

    def _log_file(self, run: _Run, path: Path, folder: str) -> None:
        """A file of the study; what is queued was read from a file, which must not make others public."""
        if not self._key.allows(path):
            return
        if not self._is_at_hand(path):
            logger.warning("%s was gone before MLflow could be given it", path)
        elif not os.access(path, os.R_OK):
            logger.warning("%s cannot be read, and MLflow has to do without it", path)
        else:
            self._client.log_artifact(run.run_id, str(path), folder or None)

    def _is_at_hand(self, path: Path) -> bool:
        """Whether there is such a file, here or where workers hand theirs over."""
        if self._depot is not None:
            with suppress(FileNotFoundError):
                self._depot.download(path)
        return path.exists()

    def _log(self, run: _Run, write: Write) -> None:
        """Params, tags and metrics that are new, in as few requests as they fit into."""
        from mlflow.entities import Metric, Param, RunTag

        points, summaries = self._new_points(run, write)
        metrics = [Metric(p.key, _plottable(p.value), p.time_ms, p.step) for p in points]
        params = [Param(key, value) for key, value in write.params.items() if key not in run.params]
        tags = [RunTag(key, value) for key, value in write.tags.items() if run.tags.get(key) != value]
        chunks = [_chunks(metrics, POINTS_PER_REQUEST)] + [_chunks(new, LABELS_PER_REQUEST) for new in (params, tags)]
        for of_metrics, of_params, of_tags in zip_longest(*chunks, fillvalue=()):
            self._client.log_batch(run.run_id, metrics=of_metrics, params=of_params, tags=of_tags)
        run.params |= {param.key for param in params}
        run.tags |= {tag.key: tag.value for tag in tags}
        run.points |= {(point.key, point.step) for point in write.points}
        run.latest |= summaries

    def _new_points(self, run: _Run, write: Write) -> tuple[list[Point], dict[str, float]]:
        """Metrics that the run lacks, and those that describe it as a whole and have changed, which are among them."""
        if write.points and not run.history_read:
            self._read_history(run)
        new = {(point.key, point.step): point for point in reversed(write.points)}
        points = [point for at, point in new.items() if at not in run.points]
        summaries = {key: value for key, value in write.summaries.items() if not _same(run.latest.get(key), value)}
        return points + [Point(key, value, 0, write.time_ms) for key, value in summaries.items()], summaries

    def _set_status(self, run: _Run, write: Write) -> None:
        if write.status is None or write.status == run.status:
            return
        if write.status == "RUNNING":
            self._client.update_run(run.run_id, status="RUNNING")
        else:
            self._client.set_terminated(run.run_id, write.status, end_time=write.status_ms or write.time_ms)
        run.status = write.status

    def _create_run(self, write: Write) -> _Run:
        tags = {"study": self._key.study, "study_id": self._key.study_id, **write.tags}
        if write.run != STUDY_RUN:
            parent = self._runs.get(STUDY_RUN) or self._create_run(Write(STUDY_RUN, write.time_ms))
            tags |= {"trial_id": write.run, "mlflow.parentRunId": parent.run_id}
        name = write.name or write.run or self._key.study
        created = self._client.create_run(self._experiment_id, start_time=write.time_ms, tags=tags, run_name=name)
        run = self._runs[write.run] = _Run(created.info.run_id, tags=tags)
        return run

    def _find_or_create_experiment(self) -> Any:
        found = self._client.get_experiment_by_name(self._key.experiment)
        if found is None:
            created = self._client.create_experiment(self._key.experiment, artifact_location=self._key.artifacts)
            return self._client.get_experiment(created)
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return found

    def _existing_runs(self) -> Iterator[tuple[str, _Run]]:
        query, page = f"tags.study_id = '{self._key.study_id}'", None
        while True:
            found = self._client.search_runs(
                [self._experiment_id], query, max_results=1000, order_by=["attributes.start_time DESC"], page_token=page
            )
            for run in found:  # newest first, so that of two runs of one trial the older one stays in the mapping
                yield run.data.tags.get("trial_id", STUDY_RUN), _known(run)
            page = found.token
            if not page:
                return

    def _read_history(self, run: _Run) -> None:
        for key in run.latest:
            run.points |= {(key, int(point.step)) for point in self._client.get_metric_history(run.run_id, key)}
        run.history_read = True


def _known(run: Any) -> _Run:
    data: Any = run.data
    return _Run(run.info.run_id, run.info.status, set(data.params), set(), dict(data.metrics), dict(data.tags), False)


def _input(dataset: Dataset) -> Any:
    from mlflow.entities import Dataset as Entity
    from mlflow.entities import DatasetInput, InputTag

    entity = Entity(dataset.name, dataset.digest, "local", dataset.source, profile=dataset.profile)
    return DatasetInput(entity, [InputTag("mlflow.data.context", dataset.context)])


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and not math.isfinite(value)))


def _plottable(value: float) -> float:
    """Infinity means "not measured" here; MLflow would store 1.8e308 for it and ruin the axis, so it gets NaN."""
    return math.nan if math.isinf(value) else value
