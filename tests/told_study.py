"""A study told to MLflow as a launch tells it, without training: tables and weights are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthetic_study import make_reports, write_study

from analysis.load import Study, load_study
from analysis.plots import front_picture
from analysis.report import write_report
from analysis.study_note import opening_note
from analysis.table import rows
from tuning.files import StudyFiles
from tuning.live_front import trial_ranks
from tuning.records import TrialState
from tuning.schema import dump
from tuning.tracking import Tracker
from tuning.tracking.datasets import datasets_of
from tuning.tracking.front_models import write_cards
from tuning.tracking.telling import tell_outcome

PARAMETERS = ("lambd",)


def write_told_study(root: Path, num_trials: int = 20) -> Study:
    """The files of a finished study, its front's pipelines among them, and its forget image beside it."""
    forget, retain = root.parent / "forget.png", root.parent / "digits.npz"
    here: dict[str, Any] = {"storage_path": str(root.parent), "forget": (str(forget),), "retain": str(retain)}
    files = StudyFiles(write_study(root, make_reports(num_trials), **here))
    files.images.mkdir()
    forget.write_bytes(b"an image")
    retain.write_bytes(b"images")
    study = load_study(root)
    for row in rows(study.front):
        pipeline = files.checkpoint(row["trial_id"], row["step"])
        (pipeline / "unet").mkdir(parents=True)
        (pipeline / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')
        (pipeline / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(bytes(1000))
    return study


def tell(study: Study, uri: str) -> None:
    """All that a launch tells of the study."""
    files, config = study.files, study.config
    tracker = Tracker(files, study=study.name, workload=config.workload, parameters=PARAMETERS, tracking_uri=uri)
    tracker.start_study(
        dump(config), files.study, datasets=datasets_of(config), note=opening_note(config, study.baseline)
    )
    tracker.log_baseline(study.untouched)
    for trial in rows(study.trials):
        name = trial["trial_id"]
        tracker.start_trial(
            name, {key: trial[key] for key in ("method", "seed", *PARAMETERS) if trial[key] == trial[key]}
        )
        for report in rows(study.reports[study.reports["trial_id"] == name]):
            tracker.log_report(name, report)
        tracker.end_trial(name, TrialState(trial["state"]), trial["reason"])
    goals = study.goals
    front_picture(study, files.images / "front.png")
    tell_outcome(
        tracker,
        study,
        trial_ranks(study.reports, goals, study.trials),
        write_cards(study, config.depot),
        config.depot,
        picture=files.images / "front.png",
        report=write_report(files.root),
    )
    tracker.finish_study(TrialState.COMPLETE)
    if not tracker.close(120):
        raise RuntimeError(f"MLflow must take what it is told, but {files.mlflow_spool} is left")
