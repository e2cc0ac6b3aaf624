"""Tells MLflow about a study: one run for the study, one below it for each trial.

Nothing here waits for MLflow. A call queues an idempotent write in the study's spool file, one background thread
applies what is queued, and an error means another try later. A server that stays away, or that takes connections and
does not answer, costs a warning; the spool is replayed by the next tracker of the study.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Final

import pandas as pd

from analysis.table import rows
from trainable.depot import Depot
from tuning.files import StudyFiles, csv_text, write_text_atomic
from tuning.records import TrialState
from tuning.tracking.delivery import Delivery
from tuning.tracking.key import StudyKey
from tuning.tracking.write import STUDY_RUN, Dataset, Model, Point, Write, labels

EXPERIMENT: Final = "data-unlearning"
#: Artifact folder of a study's run from which analysis reads the study as from its directory.
STUDY_FOLDER: Final = "study"
NOT_METRICS: Final = frozenset({"step", "seed", "repeat"})
STATUS: Final = {
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.FAIL: "FAILED",
    TrialState.STOPPED: "KILLED",
}


class Tracker:
    """MLflow's view of one study.

    Args:
        files: the study's paths. Holds the spool and the id that finds the study's runs again.
        study: the study's name, tag ``study`` of all its runs.
        workload: tag ``workload`` of all its runs.
        parameters: names of hyper-parameters, which are logged as params and never as metrics.
        tracking_uri: an MLflow store; none: ``mlflow.db`` beside the study, shared by all studies there.
        depot: where pictures are that workers have handed over; None: beside the study.
    """

    def __init__(
        self,
        files: StudyFiles,
        *,
        study: str,
        workload: str,
        parameters: Sequence[str] = (),
        tracking_uri: str | None = None,
        depot: Depot | None = None,
    ) -> None:
        uri = tracking_uri or f"sqlite:///{files.mlflow_database}"
        artifacts = None if uri.startswith(("http:", "https:")) else files.mlflow_artifacts.as_uri()
        key = StudyKey(EXPERIMENT, study, _study_id(files.study_id), files.root, artifacts)
        self._tags = {"workload": workload}
        self._not_metrics = NOT_METRICS | set(parameters)
        self._delivery = Delivery(files, uri, key, depot)

    def start_study(
        self,
        params: Mapping[str, Any],
        study_file: Path | None = None,
        *,
        datasets: Sequence[Dataset] = (),
        note: str | None = None,
    ) -> None:
        """The study runs: its settings as params, ``study.yaml``, what it reads, and its description in Markdown."""
        artifacts = {str(study_file): ""} if study_file else {}
        tags = {**self._tags, **_state(TrialState.RUNNING), "kind": "study"}
        self._write(
            Write(
                STUDY_RUN,
                tags=tags,
                params=labels(params),
                artifacts=artifacts,
                status="RUNNING",
                datasets=tuple(datasets),
                note=note,
            )
        )

    def log_baseline(self, values: Mapping[str, float], model: str = "untouched") -> None:
        """Metrics of the untouched or the retrained model on the study's run, as ``<model>_<metric>``."""
        self._write(Write(STUDY_RUN, summaries={f"{model}_{key}": value for key, value in _numbers(values).items()}))

    def start_trial(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """A trial runs, for the first time or again: its configuration as params."""
        method = str(config.get("method", ""))
        params = labels({key: value for key, value in config.items() if key != "trial_id"})
        tags = {**self._tags, **_state(TrialState.RUNNING), "kind": "trial", "method": method}
        self._write(Write(trial_id, name=f"{trial_id} {method}", tags=tags, params=params, status="RUNNING"))

    def log_report(self, trial_id: str, report: Mapping[str, Any]) -> None:
        """Every number of a report as a metric at its step; ``feasible`` as 0 or 1."""
        write = Write(trial_id)
        values = {key: value for key, value in _numbers(report).items() if key not in self._not_metrics}
        points = [Point(key, value, int(report["step"]), write.time_ms) for key, value in values.items()]
        self._write(Write(trial_id, write.time_ms, points=points))

    def log_image(self, trial_id: str, name: str, path: Path) -> None:
        """A picture, as ``images/<name>/<file name>`` of the trial. Whether it may be shown is the caller's to know."""
        self._write(Write(trial_id, artifacts={str(path): f"images/{name}"}))

    def end_trial(
        self,
        trial_id: str,
        state: TrialState,
        reason: str = "",
        detail: str = "",
        profile: Mapping[str, float] | None = None,
    ) -> None:
        """A trial ended; ``reason`` and ``detail`` become tags, what is told of a ``profile`` becomes metrics."""
        tags = {**_state(state), "reason": reason, **({"detail": detail} if detail else {})}
        self._write(Write(trial_id, tags=tags, status=STATUS[state], summaries=dict(profile or {})))

    def log_hypervolume(self, trial_count: int, value: float) -> None:
        """The front's hypervolume after ``trial_count`` trials ended, on the study's run at that step."""
        write = Write(STUDY_RUN)
        self._write(Write(STUDY_RUN, write.time_ms, points=[Point("hypervolume", value, trial_count, write.time_ms)]))

    def log_front(
        self,
        front: pd.DataFrame,
        ranks: pd.DataFrame,
        picture: Path | None = None,
        report: Path | None = None,
        *,
        recommended: str | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """The front: table, picture and report on the study's run; ranks and what they come to on every trial's.

        Args:
            front: its members; has ``trial_id``.
            ranks: one row per trial that reported, ``trial_id, step, pareto_rank, feasible, violation`` of its best
                report.
            picture: image file.
            report: HTML file.
            recommended: the trial whose model is to be taken home.
            notes: trial id → description in Markdown, for members; other trials lose what they had.
        """
        table = csv_text([str(name) for name in front.columns], rows(front), header=True)
        artifacts = {str(path): "front" for path in (picture, report) if path is not None}
        self._write(Write(STUDY_RUN, texts={"front/front.csv": table}, artifacts=artifacts))
        members, notes = set(front["trial_id"]), notes or {}
        for row in rows(ranks):
            name = str(row["trial_id"])
            summaries = {
                "pareto_rank": float(row["pareto_rank"]),
                "best_step": float(row["step"]),
                "best_feasible": float(row["feasible"]),
                "best_violation": float(row["violation"]),
            }
            tags = {"pareto": _yes_no(name in members), "recommended": _yes_no(name == recommended)}
            self._write(Write(name, tags=tags, summaries=summaries, note=notes.get(name, "")))

    def log_models(self, models: Sequence[Model]) -> None:
        """The models of the front, all of them: each with its card, its metrics also on the run of its trial."""
        for model in models:
            points = [Point(key, value, model.step, model.time_ms) for key, value in model.metrics.items()]
            self._write(Write(model.trial_id, points=points))
        self._write(Write(STUDY_RUN, models=tuple(models)))

    def log_files(self, paths: Sequence[Path], folder: str, note: str | None = None) -> None:
        """Files of the study as artifacts of its run, in ``folder``; and the run's description in Markdown."""
        self._write(Write(STUDY_RUN, files={f"{folder}/{path.name}": str(path) for path in paths}, note=note))

    def finish_study(self, state: TrialState) -> None:
        """The study ended."""
        self._write(Write(STUDY_RUN, tags=_state(state), status=STATUS[state]))

    @property
    def run_ids(self) -> dict[str, str]:
        """trial id → MLflow run id, as far as they are known by now."""
        return {name: run_id for name, run_id in self._delivery.run_ids.items() if name != STUDY_RUN}

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until everything is written, at most ``timeout`` seconds; whether it is.

        A store that is away is tried once more, not waited for.
        """
        return self._delivery.flush(timeout)

    def close(self, timeout: float = 30.0) -> bool:
        """Write what is left, but try a store that fails only once more; whether everything is written."""
        return self._delivery.close(timeout)

    def _write(self, write: Write) -> None:
        self._delivery.add(write)


def _study_id(path: Path) -> str:
    """The study's random id, made once: a later study of the same name in the same store is another one."""
    with contextlib.suppress(FileNotFoundError):
        known = path.read_text(encoding="utf-8").strip()
        if re.fullmatch(r"[0-9a-f]{32}", known):
            return known
    write_text_atomic(path, uuid.uuid4().hex + "\n")
    return path.read_text(encoding="utf-8").strip()


def _state(state: TrialState) -> dict[str, str]:
    return {"state": str(state)}


def _yes_no(value: bool) -> str:
    return "true" if value else "false"


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if isinstance(value, Real)}
