"""What the stages of one study share once its baseline is known."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.study_note import opening_note
from tuning.baseline import RETRAINED, Baseline
from tuning.files import StudyFiles
from tuning.judging import Goals
from tuning.logged import LoggedView, TrialEvents
from tuning.records import Records
from tuning.schema import StudyConfig, dump
from tuning.tracking import Tracker
from tuning.tracking.datasets import datasets_of
from tuning.trials import parameter_columns
from tuning.workers import Workers


@dataclass(frozen=True)
class Session:
    """One running study.

    Attributes:
        config: what was asked for.
        files: where it is kept.
        workers: where work is done.
        view: where progress is shown and kept.
        baseline: what was measured before any trial.
        goals: what reports are judged by, relative to the untouched model as trials measure it.
        records: reports.csv and trials.csv.
        tracker: MLflow.
    """

    config: StudyConfig
    files: StudyFiles
    workers: Workers
    view: LoggedView
    baseline: Baseline
    goals: Goals
    records: Records
    tracker: Tracker

    @classmethod
    def open(
        cls, config: StudyConfig, files: StudyFiles, workers: Workers, view: LoggedView, baseline: Baseline
    ) -> Session:
        """Make the goals and open the records and MLflow.

        Raises:
            ValueError: the ideal is not better than the untouched model, so that there is nothing to search for.
        """
        goals = Goals(config.objectives, config.constraints, baseline.search_reference, baseline.ideal)
        goals.check()
        records = Records(
            files,
            parameters=parameter_columns(config),
            metrics=config.metrics,
            constraints=config.constraints,
            baseline=goals.baseline,
            suffixes=config.report_suffixes,
            decided=config.decided_metrics,
            profile=config.profile,
            listener=TrialEvents(view.log),
        )
        return cls(config, files, workers, view, baseline, goals, records, _tracker(config, files, baseline, view))

    def close(self) -> None:
        """Write what is held back, and say where it is if MLflow did not take it."""
        try:
            self.records.finalize(self.tracker.run_ids)
        except OSError as error:  # what was acknowledged is on disk all the same, if not in order
            self.view.message(f"the tables could not be put in order: {error}; this follows on --resume")
        if not self.tracker.close():
            waiting = [path for path in (self.files.mlflow_spool, self.files.mlflow_file_spool) if path.exists()]
            what = "MLflow could" if self.files.mlflow_spool in waiting else "MLflow's place of artifacts could"
            places = " and ".join(map(str, waiting))
            self.view.message(f"{what} not be reached; what it lacks is in {places} and follows on --resume")


def _tracker(config: StudyConfig, files: StudyFiles, baseline: Baseline, view: LoggedView) -> Tracker:
    tracker = Tracker(
        files,
        study=config.name,
        workload=config.workload,
        parameters=parameter_columns(config),
        tracking_uri=config.mlflow_tracking_uri,
        depot=config.depot,
    )
    view.stage("digest the images")  # of large folders on a network disk that takes a while
    tracker.start_study(dump(config), files.study, datasets=datasets_of(config), note=opening_note(config, baseline))
    tracker.log_baseline(baseline.reference)
    tracker.log_baseline(baseline.values(RETRAINED), RETRAINED)
    return tracker
