"""``reports.csv`` and ``trials.csv``: what a study acknowledged, on disk before anybody is told.

A report is appended and synced when it arrives; the first one of a (trial, step) stays, so that whatever is replayed
after a crash changes nothing. A trial's start and end are appended and synced as well, and its last row counts: a file
written anew at each would be quadratic in the trials. ``read_table`` and :meth:`Records.finalize` leave one row a
trial; the latter sorts both files, after which the same seed gives the same bytes of ``reports.csv``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

import pandas as pd

from tuning.constraints import violation
from tuning.files import StudyFiles, write_csv_atomic
from tuning.goals import Constraint
from tuning.profiling import COLUMNS
from tuning.record_tables import append_row, cells_of, read_own, typed

IDENTITY: Final = ("trial_id", "method", "step", "rung", "repeat", "seed", "forget_image")
VERDICT: Final = ("feasible", "violation", "candidate")
OUTCOME: Final = ("trial_id", "state", "reason", "method")
#: How the reason of a trial begins that the scheduler stopped; its rung follows.
STOPPED_EARLY: Final = "stopped at rung"
#: Trials up to which ``trials.csv`` has one row each at all times; beyond, one in ten may have an outdated one besides.
ALWAYS_WHOLE: Final = 500


class TrialState(StrEnum):
    """What became of a trial: one that the scheduler stopped is COMPLETE, one that the study's end cut off STOPPED."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    STOPPED = "STOPPED"


class Listener(Protocol):
    """Whoever is to hear what was acknowledged."""

    def trial_started(self, trial_id: str, config: Mapping[str, Any], steps: Sequence[int] | None) -> None: ...

    def reported(self, report: Mapping[str, Any]) -> None: ...

    def trial_ended(self, trial_id: str, state: str, reason: str, seconds: float | None) -> None: ...


class Records:
    """The reports and trials of one study, in memory and in its files.

    Args:
        files: the study's paths.
        parameters: union of all spaces' parameters, in the order of their columns.
        metrics: metrics of a report, in the order of their columns.
        constraints: bounds that decide ``feasible`` and ``violation``.
        baseline: metric → value of the untouched model.
        suffixes: of the columns of each metric.
        decided: metrics that have ``_low`` and ``_high`` too.
        profile: whether ``trials.csv`` says where each trial's time went.
        listener: hears of a trial or a report once it is on disk.

    Raises:
        RecordsError: a file on disk has other columns, or a damaged row that is not its last.
    """

    def __init__(
        self,
        files: StudyFiles,
        *,
        parameters: Sequence[str],
        metrics: Sequence[str],
        constraints: Sequence[Constraint],
        baseline: Mapping[str, float],
        suffixes: Sequence[str] = ("", "_stderr", "_num"),
        decided: Sequence[str] = (),
        profile: bool = False,
        listener: Listener | None = None,
    ) -> None:
        measured = [name + suffix for name in metrics for suffix in suffixes]
        measured += [name + suffix for name in decided for suffix in ("_low", "_high")]
        self.files, self._listener = files, listener
        self.parameters = tuple(parameters)
        self.report_columns = (*IDENTITY, *parameters, *measured, *VERDICT)
        self.keeps_profiles = profile
        seconds = ("seconds", *(COLUMNS if profile else ()))
        self.trial_columns = (*OUTCOME, *parameters, "seed", *seconds, "mlflow_run_id")
        self._constraints, self._baseline = tuple(constraints), dict(baseline)
        self._reports = {
            (row["trial_id"], int(row["step"])): row for row in read_own(files.reports, self.report_columns)
        }
        self._steps: defaultdict[str, list[int]] = defaultdict(list)
        for trial_id, step in self._reports:
            self._steps[trial_id].append(step)
        trials = read_own(files.trials, self.trial_columns)
        self._trials = {row["trial_id"]: row for row in trials}
        self._outdated = len(trials) - len(self._trials)  # rows of trials.csv
        self._num_trials = Counter(TrialState(row["state"]) for row in self._trials.values())

    def judge(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """The report with ``feasible``, ``violation`` and ``candidate`` (True where it does not say otherwise)."""
        excess = violation(report, self._constraints, self._baseline)
        candidate = bool(report.get("candidate", True))
        return {**report, "feasible": excess == 0.0, "violation": excess, "candidate": candidate}

    def add_report(self, report: Mapping[str, Any]) -> bool:
        """Keep one report for good; on return it is on disk.

        Args:
            report: flat; identity, parameters and metrics are taken, what has no column is left out.

        Returns:
            Whether it is new; False where this (trial, step) is known, whose first report stays.

        Raises:
            OSError: the report could not be written; nothing of it is left in the file.
        """
        key = (str(report["trial_id"]), int(report["step"]))
        if key in self._reports:
            return False
        judged = self.judge(report)
        row = cells_of(self.report_columns, judged)
        append_row(self.files.reports, self.report_columns, row)
        self._reports[key] = row
        self._steps[key[0]].append(key[1])
        if self._listener:
            self._listener.reported(judged)
        return True

    def start_trial(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """A trial runs, for the first time or again; on return it is on disk.

        Raises:
            OSError: it could not be written.
        """
        steps = self.steps(trial_id) if trial_id in self._trials else None
        self._put(trial_id, config, state=TrialState.RUNNING, reason="")
        if self._listener:
            self._listener.trial_started(trial_id, config, steps)

    def end_trial(
        self,
        trial_id: str,
        config: Mapping[str, Any],
        state: TrialState,
        reason: str = "",
        seconds: float | None = None,
        profile: Mapping[str, float] | None = None,
    ) -> None:
        """A trial ended, also one that never started; on return it is on disk.

        Args:
            trial_id: which.
            config: its settings.
            state: how it ended.
            reason: why.
            seconds: the worker's time in it.
            profile: where that went, by column; kept by records that keep profiles.

        Raises:
            OSError: it could not be written.
        """
        if self._put(trial_id, config, state=state, reason=reason, seconds=seconds, **profile or {}) and self._listener:
            self._listener.trial_ended(trial_id, state, reason, seconds)

    def finalize(self, run_ids: Mapping[str, str] | None = None) -> None:
        """Sort both files and write them anew, with the MLflow run ids known by now (trial id → run id)."""
        for trial_id, run_id in (run_ids or {}).items():
            if trial_id in self._trials:
                self._trials[trial_id]["mlflow_run_id"] = run_id
        self._reports = dict(sorted(self._reports.items(), key=lambda item: (len(item[0][0]), item[0])))
        write_csv_atomic(self.files.reports, self.report_columns, self._reports.values())
        self._write_trials()

    @property
    def states(self) -> dict[str, TrialState]:
        """trial id → state, in order of the ids."""
        return {row["trial_id"]: TrialState(row["state"]) for row in self._sorted_trials()}

    @property
    def num_trials(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return Counter(self._num_trials)

    def steps(self, trial_id: str) -> list[int]:
        """The steps at which a trial reported, rising."""
        return sorted(self._steps.get(trial_id, ()))

    def reports_frame(self) -> pd.DataFrame:
        """All reports as :func:`read_table` would read them off the file."""
        return typed(self.report_columns, self._reports.values())

    def trials_frame(self) -> pd.DataFrame:
        """All trials as :func:`read_table` would read them off the file."""
        return typed(self.trial_columns, self._sorted_trials())

    def _put(self, trial_id: str, config: Mapping[str, Any], **outcome: Any) -> bool:
        """Keep a trial's row; whether it is another than before."""
        known = self._trials.get(trial_id, {"trial_id": trial_id})
        given = {name: config[name] for name in ("method", "seed", *self.parameters) if config.get(name) is not None}
        new = {name: value for name, value in outcome.items() if value is not None}
        row = {
            **dict.fromkeys(self.trial_columns, ""),
            **known,
            **cells_of(self.trial_columns, given | new, blank=False),
        }
        if row == known:
            return False
        self._trials[trial_id] = row
        self._num_trials[TrialState(row["state"])] += 1
        if "state" in known:
            self._num_trials[TrialState(known["state"])] -= 1
            self._outdated += 1
        if self._outdated > max(0, len(self._trials) - ALWAYS_WHOLE) // 10:
            self._write_trials()
        else:
            append_row(self.files.trials, self.trial_columns, row)
        return True

    def _write_trials(self) -> None:
        write_csv_atomic(self.files.trials, self.trial_columns, self._sorted_trials())
        self._outdated = 0

    def _sorted_trials(self) -> list[dict[str, str]]:
        return sorted(self._trials.values(), key=lambda row: (len(row["trial_id"]), row["trial_id"]))
