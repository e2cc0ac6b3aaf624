"""Runs a study from its configuration to its front. Every stage leaves its files behind before the next one starts."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.front import Recommendation, hypervolume, recommend
from analysis.load import load_study
from analysis.plots import front_picture
from analysis.report import write_report
from analysis.table import rows
from tuning.baseline import Baseline
from tuning.baseline_cache import content_key, keep, recall
from tuning.callback import StudyCallback
from tuning.config import to_yaml
from tuning.files import StudyFiles, write_csv_atomic, write_text_atomic
from tuning.live_front import trial_ranks
from tuning.outcome import Goals
from tuning.records import Records, TrialState
from tuning.remeasure import confirmed_front
from tuning.schema import StudyConfig, dump
from tuning.search_generator import StudySearchGenerator
from tuning.searcher import ConstrainedOptunaSearch
from tuning.timing import Timing, TrialClock
from tuning.tracking import Tracker
from tuning.trials import latest_checkpoint, parameter_columns, run_trials
from tuning.workers import Workers

if TYPE_CHECKING:
    from tuning.terminal import StudyView

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyResult:
    """What a study came to."""

    files: StudyFiles
    front: pd.DataFrame
    recommendation: Recommendation | None
    hypervolume: float
    timing: Timing
    tracking_uri: str


class StudyFailedError(RuntimeError):
    """A study could not go on; what was finished is kept."""


def run_study(config: StudyConfig, view: StudyView, *, resume: bool = False) -> StudyResult:
    """Run ``config`` and leave everything under ``config.root``.

    Args:
        config: a checked configuration.
        view: shows progress.
        resume: take up what the study's directory holds.

    Raises:
        StudyFailedError: no trial reported.
    """
    began = time.monotonic()
    files = StudyFiles(config.root)
    files.root.mkdir(parents=True, exist_ok=True)
    write_text_atomic(files.study, to_yaml(config))
    with Workers(config, files, view) as workers:
        baseline = _baseline(config, workers, files, resume)
        goals = Goals(config.objectives, config.constraints, baseline.search_reference, baseline.ideal)
        goals.check()
        records = Records(
            files,
            parameters=parameter_columns(config),
            metrics=config.metrics,
            constraints=config.constraints,
            baseline=goals.baseline,
        )
        tracker = _tracker(config, files, baseline)
        try:
            clock = _search(config, workers, baseline, goals, records, tracker, view, resume)
            front = _confirm(workers, files, goals, baseline, records.reports_frame(), view)
            return _finish(config, files, goals, baseline, records, tracker, front, clock.timing(began), view)
        finally:
            records.finalize(tracker.run_ids)
            if not tracker.close():
                view.message(
                    f"MLflow could not be reached; what it lacks is in {files.mlflow_spool} and follows on --resume"
                )


def _baseline(config: StudyConfig, workers: Workers, files: StudyFiles, resume: bool) -> Baseline:
    """The study's own on a resume, an earlier study's where all that it depends on is the same, else measured."""
    if resume and files.baseline.exists():
        return Baseline.load(files.baseline)
    key = content_key(config)
    baseline = recall(config, key, files)
    if baseline is None:
        baseline = workers.measure_baseline()
        keep(config, key, baseline, files)
    baseline.save(files.baseline)
    return baseline


def _drop_resume_states(files: StudyFiles) -> None:
    """No trial of a finished study is taken up again, so what it would go on from only takes space."""
    for state in files.ray.glob("*/checkpoint_*"):
        shutil.rmtree(state)


def _tracker(config: StudyConfig, files: StudyFiles, baseline: Baseline) -> Tracker:
    tracker = Tracker(
        files,
        study=config.name,
        workload=config.workload,
        parameters=parameter_columns(config),
        tracking_uri=config.mlflow_tracking_uri,
    )
    tracker.start_study(dump(config), files.study)
    tracker.log_baseline(baseline.reference)
    if baseline.retrained is not None:
        tracker.log_baseline(baseline.ideal, "retrained")
    return tracker


def _search(
    config: StudyConfig,
    workers: Workers,
    baseline: Baseline,
    goals: Goals,
    records: Records,
    tracker: Tracker,
    view: StudyView,
    resume: bool,
) -> TrialClock:
    files = records.files
    searcher = ConstrainedOptunaSearch(
        methods=config.methods,
        objectives=config.objectives,
        constraints=config.constraints,
        baseline=goals.baseline,
        ideal=goals.ideal,
        calibration=baseline.calibration,
        fix=config.fix,
        enqueue=config.enqueue or None,
        storage=config.optuna_storage or files.journal,
        study_name=config.name,
        sampler=config.searcher,
        seed=config.seed,
        num_trials=config.num_trials,
        repeats=config.repeats,
        last_step=config.rungs[-1],
    )
    interrupted = _reconcile(searcher, records) if resume else {}
    slots = min(config.max_concurrent_trials or workers.slots, workers.slots)
    generator = StudySearchGenerator(searcher, max_concurrent=slots, checkpoints=interrupted)
    callback = StudyCallback(
        records, goals, num_trials=config.num_trials, tracker=tracker, view=view, outcome=searcher.outcome
    )
    view.stage("trials", config.num_trials)
    clock = TrialClock(slots)
    run_trials(config, workers.plan, generator, [callback, clock])
    if _was_interrupted(config, records, clock):
        raise KeyboardInterrupt
    _settle(searcher, records)
    if records.reports_frame().empty:
        reasons = ", ".join(sorted({str(reason) for reason in records.trials_frame()["reason"]})) or "no trial started"
        raise StudyFailedError(f"no trial reported ({reasons}); see {files.trials} and {files.ray}")
    return clock


def _reconcile(searcher: ConstrainedOptunaSearch, records: Records) -> dict[str, str]:
    """Settle with Optuna what ended when the last process died.

    Returns:
        Trial → checkpoint of those that were running: they are handed out again and go on from there.
    """
    reports, states = records.reports_frame(), records.states
    of_trial = {name: rows(reports[reports["trial_id"] == name]) for name in states}
    ended = {name: of_trial[name] for name, state in states.items() if state is TrialState.COMPLETE}
    trials = records.trials_frame()
    failed = dict(zip(trials["trial_id"], trials["reason"], strict=True))
    failed = {name: reason for name, reason in failed.items() if states[name] is TrialState.FAIL}
    # Optuna's word, not the records': a trial may have been lost before it started.
    open_trials = [name for name in searcher.running_trials() if name not in ended and name not in failed]
    searcher.reconcile(ended, failed=failed, again=open_trials)
    checkpoints = {name: latest_checkpoint(records.files, name) for name in open_trials}
    return {name: path for name, path in checkpoints.items() if path is not None}


def _was_interrupted(config: StudyConfig, records: Records, clock: TrialClock) -> bool:
    """Whether trials were cut off before the time budget was over: Ray takes an interrupt and returns as if done."""
    over = config.time_budget is not None and clock.elapsed >= config.time_budget
    return not over and TrialState.STOPPED in records.states.values()


def _settle(searcher: ConstrainedOptunaSearch, records: Records) -> None:
    """Tell Optuna of trials that the time budget cut off: none is left running."""
    cut = [name for name, state in records.states.items() if state is TrialState.STOPPED]
    searcher.reconcile({name: () for name in cut if records.steps(name)})


def _confirm(
    workers: Workers, files: StudyFiles, goals: Goals, baseline: Baseline, reports: pd.DataFrame, view: StudyView
) -> pd.DataFrame:
    candidates = reports[reports["candidate"]].reset_index(drop=True)

    def measure(keys: Sequence[tuple[str, int]]) -> Sequence[Mapping[str, float]]:
        return workers.remeasure(keys)

    front = confirmed_front(candidates, goals, baseline.reference, measure)
    front["checkpoint"] = [
        str(files.checkpoint(str(t), int(s)).relative_to(files.root))
        for t, s in zip(front["trial_id"], front["step"], strict=True)
    ]
    _drop_other_checkpoints(files, set(front["checkpoint"]))
    columns = [*reports.columns, *(c for c in front.columns if c.endswith("_search")), "checkpoint"]
    write_csv_atomic(files.front, columns, [_without_blanks(row) for row in rows(front.reindex(columns=columns))])
    return front


def _without_blanks(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that a method does not have are blank, not NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _drop_other_checkpoints(files: StudyFiles, kept: set[str]) -> None:
    """Pipelines of candidates that did not stand the second measurement are no front members."""
    if files.checkpoints.is_dir():
        for directory in files.checkpoints.iterdir():
            if str(directory.relative_to(files.root)) not in kept:
                shutil.rmtree(directory)


def _finish(
    config: StudyConfig,
    files: StudyFiles,
    goals: Goals,
    baseline: Baseline,
    records: Records,
    tracker: Tracker,
    front: pd.DataFrame,
    timing: Timing,
    view: StudyView,
) -> StudyResult:
    view.stage("report")
    volume = hypervolume(front, goals.objectives, baseline.reference, baseline.ideal) if len(front) else 0.0
    records.finalize(tracker.run_ids)
    picture = files.images / "front.png"
    files.images.mkdir(exist_ok=True)
    front_picture(load_study(files.root), picture)
    report = write_report(files.root)
    tracker.log_front(front, trial_ranks(records.reports_frame(), goals), picture, report)
    tracker.finish_study(TrialState.COMPLETE)
    tracker.flush()
    chosen = (
        recommend(front, goals.objectives, goals.constraints, baseline.reference, baseline.ideal)
        if len(front)
        else None
    )
    _drop_resume_states(files)
    timing.save(files)
    return StudyResult(files, front, chosen, volume, timing, config.tracking_uri)


def resume_command(config: StudyConfig, script: str = "tune_unlearning.py") -> str:
    """What to type to go on with a study."""
    name = f"--name '{config.name}'" if " " in config.name else f"--name {config.name}"
    storage = "" if config.storage_path == "runs" else f" --storage-path {config.storage_path}"
    return f"python {script} {name}{storage} --resume"
