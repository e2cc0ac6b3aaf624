"""Tells MLflow of a study what its records hold: for a store that stayed behind on another machine."""

from __future__ import annotations

import re

import pandas as pd

from analysis.table import rows
from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.records import Records, TrialState
from tuning.schema import StudyConfig
from tuning.tracking import Tracker

_PICTURE = re.compile(r"(?P<trial>\d+)-(?P<step>\d+)-(?P<kind>\w+)\.png")


def is_needed(config: StudyConfig, files: StudyFiles) -> bool:
    """Whether the MLflow store is one of this machine, while the records came from another."""
    return files.taken_over.exists() and config.mlflow_tracking_uri is None


def retell(records: Records, tracker: Tracker, depot: Depot) -> None:
    """Trials, reports and pictures once more; what the store has already it does not get twice."""
    trials = rows(records.trials_frame())
    for trial in trials:
        settings = {name: trial[name] for name in ("method", "seed", *records.parameters) if pd.notna(trial[name])}
        tracker.start_trial(str(trial["trial_id"]), settings)
    for report in rows(records.reports_frame()):
        tracker.log_report(str(report["trial_id"]), report)
    for name in depot.entries(records.files.images):
        if found := _PICTURE.fullmatch(name):
            picture = f"{found['kind']}-{int(found['step']):05d}"
            tracker.log_image(found["trial"], picture, records.files.images / name)
    for trial in trials:
        if trial["state"] != TrialState.RUNNING:
            tracker.end_trial(str(trial["trial_id"]), TrialState(trial["state"]), str(trial["reason"]))
    records.files.taken_over.unlink(missing_ok=True)
