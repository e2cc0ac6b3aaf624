"""The reports of a study as the search needs them: those of running trials, and the front of the ended ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from optuna.trial import FrozenTrial

from analysis.growing_front import GrowingFront
from tuning.judging import Goals, Report
from tuning.optuna_store import reports_of, trial_name


class StudyReports:
    """What trials reported so far.

    Args:
        goals: what the front is made by.
        trials: those of the storage.
    """

    def __init__(self, goals: Goals, trials: Iterable[FrozenTrial]) -> None:
        self._ended = GrowingFront(goals)
        self._running: dict[str, dict[int, Report]] = {}
        for trial in trials:
            for report in reports_of(trial):
                self.add(trial_name(trial.number), report)
            if trial.state.is_finished():
                self.end(trial_name(trial.number))

    def add(self, name: str, report: Report) -> None:
        """A report of a running trial; of two at one step the later counts."""
        self._running.setdefault(name, {})[int(report["step"])] = report

    def of(self, name: str) -> list[Report]:
        """The reports of a running trial, by step."""
        reports: Mapping[int, Report] = self._running.get(name, {})
        return [reports[step] for step in sorted(reports)]

    def others(self, name: str) -> Iterator[Report]:
        """What every other trial reported, less what is dominated among the reports of ended ones."""
        running = (reports.values() for other, reports in self._running.items() if other != name)
        return chain(self._ended.members, chain.from_iterable(running))

    def end(self, name: str) -> None:
        """A trial ended, in whatever way: its reports stay, as part of the front that others add to."""
        for report in self._running.pop(name, {}).values():
            self._ended.add(report)
