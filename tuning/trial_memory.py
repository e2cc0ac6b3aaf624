"""A study's trials in its storage and in memory: read once, changed in both from then on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from optuna.trial import FrozenTrial

from tuning.draft import View
from tuning.history import History
from tuning.judging import Goals, Report
from tuning.optuna_store import ENDED, StudyStore, reports_of, trial_name
from tuning.outcome import Outcome, judge
from tuning.outlook import Outlook
from tuning.samplers import Dimensions
from tuning.study_reports import StudyReports


class TrialMemory:
    """What the search has asked and was told.

    Args:
        store: the study's storage.
        goals: what reports are judged by.
        known: completed trials of other studies, for the sampler.
        dimensions: what is sampled.

    Attributes:
        store: the storage; it is written through this class.
        history: what an Optuna sampler knows.
        outlook: what may still come of the study.
    """

    def __init__(self, store: StudyStore, goals: Goals, known: Sequence[FrozenTrial], dimensions: Dimensions) -> None:
        directions = store.study.directions
        self.store = store
        self.history = History(directions, store.trials(), known)
        self.view = View(directions, store.kept(), store.keep)
        self._goals = goals
        self.outlook = Outlook(goals, dimensions.by_method)
        for trial in (*self.history.known(), *sorted(store.trials(), key=_order_of_end)):
            self.outlook.put(trial)
        self._reports = StudyReports(goals, store.trials())

    def create(self, template: FrozenTrial) -> None:
        """A new trial runs.

        Raises:
            RuntimeError: another process has written to the study.
        """
        created = self.store.create(template)
        self.history.put(created)
        self.outlook.put(created)

    def keep_report(self, name: str, report: Report) -> None:
        """A running trial reported."""
        self.store.keep_report(name, report)
        self._reports.add(name, report)
        self.outlook.add(int(name), report)

    def is_worth_going_on(self, name: str, report: Report) -> bool:
        """What the outlook says of a running trial and its new report."""
        self.outlook.add(int(name), report)
        return self.outlook.is_worth_going_on(int(name))

    def tell(self, name: str, reason: str | None, last_step: int | None) -> Outcome:
        """A running trial ended; see `tuning.outcome.judge`."""
        reports = self._reports
        outcome = judge(reports.of(name), reports.others(name), self._goals, reason=reason, last_step=last_step)
        told = self.store.tell(name, outcome)
        self.history.put(told)
        self.outlook.put(told)
        reports.end(name)
        return outcome

    def steps(self, name: str) -> set[int]:
        """The steps at which a trial has reported."""
        trial = self.store.trial(name)
        reports = reports_of(trial) if trial.state.is_finished() else self._reports.of(trial_name(trial.number))
        return {int(report["step"]) for report in reports}


def _order_of_end(trial: FrozenTrial) -> tuple[bool, int, datetime, int]:
    """In which order trials ended, those of old studies by the clock; those that run come last."""
    end = trial.datetime_complete or datetime.max
    return not trial.state.is_finished(), trial.system_attrs.get(ENDED, -1), end, trial.number
