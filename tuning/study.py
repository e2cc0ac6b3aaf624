"""Runs a study from its configuration to its front. Every stage leaves its files behind before the next one starts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from analysis.front import Recommendation, hypervolume, recommend
from analysis.load import load_study
from analysis.plots import front_picture
from analysis.report import write_report
from analysis.table import rows
from trainable.depot import Depot
from tuning import warm_start
from tuning.baseline import UNTOUCHED, Baseline
from tuning.baseline_cache import content_key, keep, recall
from tuning.config import resume_command, to_yaml
from tuning.errands import bring_pictures, drop_resume_states
from tuning.files import StudyFiles, write_text_atomic
from tuning.front_file import set_aside, write_front
from tuning.live_front import trial_ranks
from tuning.logged import LoggedView, study_log
from tuning.mirror.claims import begin_launch
from tuning.mirror.mirror import Mirror
from tuning.records import TrialState
from tuning.remeasure import compared_columns, confirmed_front
from tuning.schema import StudyConfig
from tuning.search import StudyFailedError, search
from tuning.session import Session
from tuning.sole_driver import sole_driver
from tuning.timing import Timing
from tuning.tracking.front_models import write_cards
from tuning.tracking.telling import tell_outcome
from tuning.workers import Workers

if TYPE_CHECKING:
    from tuning.terminal import StudyView

__all__ = ["StudyFailedError", "StudyResult", "resume_command", "run_study"]

#: Picture, page and MLflow.
REPORT_PARTS: Final = 3
#: Bits per dimension by which the likelihood's grid may be off before it is said.
LARGEST_GRID_ERROR: Final = 0.01


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Attributes:
        files: its records, on this machine.
        location: where its models are: the same directory, or the study's folder in an object store.
        front: the members, re-measured.
        recommendation: which of them to take home.
        hypervolume: of the front.
        timing: where the time went.
        tracking_uri: where MLflow has the study.
    """

    files: StudyFiles
    location: str
    front: pd.DataFrame
    recommendation: Recommendation | None
    hypervolume: float
    timing: Timing
    tracking_uri: str


def run_study(config: StudyConfig, view: StudyView, *, resume: bool = False) -> StudyResult:
    """Run ``config`` and leave everything under ``config.root``.

    Args:
        config: a checked configuration.
        view: shows progress.
        resume: take up what the study's directory holds.

    Raises:
        ConfigError: another process drives the study.
        StudyFailedError: no trial reported.
        KeyboardInterrupt: it was interrupted; ``resume_command`` goes on with it.
    """
    began = time.monotonic()
    files = StudyFiles(config.root)
    files.root.mkdir(parents=True, exist_ok=True)
    with sole_driver(files, view.message):
        set_aside(files)  # before the plan may become a larger one, which the front there is would not be that of
        write_text_atomic(files.study, to_yaml(config))
        begin_launch(files, config.depot)
        warm_start.begin(config, files, view)
        return _run(config, files, view, began, resume=resume)


def _run(config: StudyConfig, files: StudyFiles, view: StudyView, began: float, *, resume: bool) -> StudyResult:
    with (
        Mirror(files, config.depot).running(),
        study_log(config, files, view, resume=resume) as logged,
        Workers(config, files, logged) as workers,
    ):
        baseline = _baseline(config, workers, files, logged, resume)
        workers.keep_quality(baseline)
        session = Session.open(config, files, workers, logged, baseline)
        try:
            clock = search(session, resume=resume)
            front = _confirm(session)
            return _finish(session, front, clock.timing(began))
        finally:
            session.close()


def _baseline(config: StudyConfig, workers: Workers, files: StudyFiles, view: LoggedView, resume: bool) -> Baseline:
    """The study's own on a resume, an earlier study's where all that it depends on is the same, else measured."""
    if resume and files.baseline.exists():
        return Baseline.load(files.baseline)
    view.stage("look for a baseline that is known")
    key = content_key(config)
    baseline = recall(config, key, files)
    if baseline is None:
        baseline = workers.measure_baseline()
        keep(config, key, baseline, files)
    baseline.save(files.baseline)
    if baseline.grid_error > LARGEST_GRID_ERROR:
        view.message(
            f"under the untouched model the nll of a forget image is {baseline.grid_error:.4f} bits per dimension from "
            f"what twice as many evaluations give, more than {LARGEST_GRID_ERROR}; raise num_likelihood_evaluations, "
            f"which is {config.num_likelihood_evaluations}"
        )
    return baseline


def _confirm(session: Session) -> pd.DataFrame:
    """Re-measure the front, write ``front.csv`` and leave the pipelines of its members alone in ``checkpoints/``."""
    files, reports = session.files, session.records.reports_frame()

    def measure(keys: Sequence[tuple[str, int]]) -> Sequence[Mapping[str, float]]:
        untouched = session.baseline.models[UNTOUCHED]
        return [compared_columns(measured, untouched) for measured in session.workers.remeasure(keys)]

    candidates = reports[reports["candidate"]].reset_index(drop=True)
    front = confirmed_front(
        candidates,
        session.goals,
        session.baseline.reference,
        measure,
        session.config.num_confirmed,
        session.records.trials_frame(),
    )
    front["checkpoint"] = [
        str(files.checkpoint(str(trial), int(step)).relative_to(files.root))
        for trial, step in zip(front["trial_id"], front["step"], strict=True)
    ]
    added = [name for name in map(str, front.columns) if name not in reports and name != "checkpoint"]
    columns = [*reports.columns, *added, "checkpoint"]
    write_front(files, columns, [_without_blanks(row) for row in rows(front.reindex(columns=columns))])
    _drop_other_checkpoints(session.config.depot, files, set(front["checkpoint"]))
    return front


def _without_blanks(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that a method does not have are blank, not NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _drop_other_checkpoints(depot: Depot, files: StudyFiles, kept: set[str]) -> None:
    """Pipelines of candidates that did not stand the second measurement are no front members."""
    for name in depot.entries(files.checkpoints):
        if str((files.checkpoints / name).relative_to(files.root)) not in kept:
            depot.remove(files.checkpoints / name)


def _finish(session: Session, front: pd.DataFrame, timing: Timing) -> StudyResult:
    """Pictures, report, MLflow, and what the terminal is told."""
    files, records, tracker = session.files, session.records, session.tracker
    depot = session.config.depot
    objectives = session.config.objectives
    reference, ideal = session.baseline.reference, session.baseline.ideal
    records.finalize(tracker.run_ids)
    timing.save(files)
    study = load_study(files.root)
    bring_pictures(study, depot, session.view)
    session.view.stage("report", REPORT_PARTS)
    picture = files.images / "front.png"
    files.images.mkdir(exist_ok=True)
    front_picture(study, picture)
    session.view.advance()
    report = write_report(files.root)
    session.view.advance()
    ranks = trial_ranks(records.reports_frame(), session.goals, records.trials_frame())
    cards = write_cards(study, depot)
    tell_outcome(tracker, study, ranks, cards, depot, picture=picture, report=report)
    tracker.finish_study(TrialState.COMPLETE)
    tracker.flush()
    session.view.advance()
    drop_resume_states(depot, files, session.view)
    return StudyResult(
        files=files,
        location=depot.location,
        front=front,
        recommendation=recommend(front, objectives, session.config.constraints, reference, ideal),
        hypervolume=hypervolume(front, objectives, reference, ideal) if len(front) else 0.0,
        timing=timing,
        tracking_uri=session.config.tracking_uri,
    )
