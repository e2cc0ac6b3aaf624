"""The one place where Ray's events reach the records, MLflow and the terminal.

Every event may come twice, since Ray replays what it forgot after a crash, and everything done here may be done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol
from weakref import WeakValueDictionary

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS

from analysis.configurations import is_repeated
from analysis.growing_front import GrowingFront
from analysis.table import rows
from trainable.failure import ENDING, failure_reason
from tuning.judging import Goals
from tuning.live_front import live_front
from tuning.outcome import Outcome
from tuning.profiling import Profiles
from tuning.records import STOPPED_EARLY, Records, TrialState
from tuning.seldom import Seldom
from tuning.tracking import Tracker

logger = logging.getLogger(__name__)

CUT_OFF: Final = "study ended"
NO_REPORT: Final = frozenset(
    {*AUTO_RESULT_KEYS, "done", "experiment_tag", "should_checkpoint", "images", "news", "profile", ENDING}
)
DETAIL_LENGTH: Final = 300


class View(Protocol):
    """What a terminal shows of a study."""

    def trials(self, running: int, done: int, failed: int, total: int, *, under_way: float = 0.0) -> None: ...

    def front(self, rows: Sequence[Mapping[str, Any]], hypervolume: float) -> None: ...

    def message(self, text: str) -> None: ...


class StudyCallback(Callback):  # type: ignore[misc]
    """Hands Ray's events on to whatever keeps or shows them.

    Ray copies callbacks and pickles them into ``tuner.pkl``, which nothing reads. This one pickles as the study's name
    only, and a copy of it is the process's own callback of that study; elsewhere it is one that does nothing.

    Args:
        records: reports and trials; written before anything else hears of a report.
        goals: what the front is made by.
        num_trials: trials of the study in all, for the view.
        reports_per_trial: of one that runs to its end, for the view.
        tracker: MLflow, or None.
        view: the terminal, or None.
        outcome: how the searcher judged a trial (``ConstrainedOptunaSearch.outcome``); it knows of trials that Ray
            takes as complete and that ended in NaN, and of those the scheduler stopped.
    """

    _live: ClassVar[WeakValueDictionary[str, StudyCallback]] = WeakValueDictionary()

    def __init__(
        self,
        records: Records,
        goals: Goals,
        *,
        num_trials: int,
        reports_per_trial: int = 1,
        tracker: Tracker | None = None,
        view: View | None = None,
        outcome: Callable[[str], Outcome | None] | None = None,
    ) -> None:
        self._records, self._goals, self._num_trials = records, goals, num_trials
        self._reports_per_trial = reports_per_trial
        self._running: dict[str, int] = {}  # trial → how often it reported
        self._tracker, self._view = tracker, view
        self._outcome = outcome
        reports = records.reports_frame()
        self._repeated = is_repeated(reports)
        self._front = GrowingFront(goals, filter(_is_candidate, rows(reports)))
        self._front_of_means = Seldom(lambda: live_front(records.reports_frame(), goals, records.trials_frame()))
        self._profiles = Profiles()
        self._live[records.files.name] = self

    def __reduce__(self) -> tuple[Callable[[str], Callback], tuple[str]]:
        return _live_callback, (self._records.files.name,)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial runs, for the first time or again."""
        name = trial_name(trial)
        self._profiles.start(name)
        self._records.start_trial(name, trial.config)
        if self._tracker:
            self._tracker.start_trial(name, trial.config)
        self._running[name] = len(self._records.steps(name))
        self._show_trials()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A report. MLflow's spool has it first and the records next, so that neither lacks one after a crash."""
        if "step" not in result:
            return
        name = trial_name(trial)
        self._profiles.add(name, result.get("profile", {}))
        with self._profiles.tracking(name):
            self._keep(trial, result)

    def _keep(self, trial: Trial, result: dict[str, Any]) -> None:
        report = self._records.judge(report_of(trial, result))
        if self._tracker:
            self._tracker.log_report(report["trial_id"], report)
            for name, path in result.get("images", {}).items():
                self._tracker.log_image(report["trial_id"], name, Path(path))
        for text in result.get("news", ()):
            self._say(f"trial {report['trial_id']}: {text}")
        if not self._records.add_report(report):
            return
        self._repeated |= int(report.get("repeat", 0)) > 0
        if _is_candidate(report):
            self._front.add(report)
        if report["trial_id"] in self._running:
            self._running[report["trial_id"]] += 1
        if self._view:
            self._view.front(*self._live_front())
        self._show_trials()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial ran to its end or was stopped, unless the searcher takes it as failed; or it could not start."""
        if "time_total_s" not in (trial.last_result or {}):
            self._end_trial(trial, TrialState.STOPPED, CUT_OFF)
            return
        outcome = self._outcome(trial_name(trial)) if self._outcome else None
        state, reason = verdict(outcome)
        self._end_trial(trial, state, reason)
        if state is TrialState.COMPLETE and reason:
            self._say(f"trial {trial_name(trial)} {reason}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial failed; by the searcher's word, where there is one, it may be taken up again or have ended before."""
        trial.run_metadata.pickled_error_filename = None  # else Ray reads it in the end, and runs what is in it
        name, text = trial_name(trial), error_text(trial)
        outcome = self._outcome(name) if self._outcome else None
        if outcome is not None and outcome.completed:
            self.on_trial_complete(iteration, trials, trial)
        elif self._outcome is not None and outcome is None:
            self._say(f"trial {name} is taken up again: {_cause(text)}")
        else:
            reason = failure_reason(text)
            self._end_trial(trial, TrialState.FAIL, reason, _last_line(text))
            self._say(f"trial {name} failed: {reason}")

    def _say(self, text: str) -> None:
        if self._view:
            self._view.message(text)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Ray is done. What still runs was cut off by an interrupt, of which Ray says nothing."""
        states = self._records.states
        for trial in trials:
            if states.get(trial_name(trial), TrialState.RUNNING) is TrialState.RUNNING:
                self._end_trial(trial, TrialState.STOPPED, CUT_OFF)
        if self._view and self._repeated:
            self._view.front(*self._live_front(is_last=True))
        self._records.finalize(self._tracker.run_ids if self._tracker else None)

    def _live_front(self, *, is_last: bool = False) -> tuple[Sequence[Mapping[str, Any]], float]:
        """Members and hypervolume; from the first repeat on of the settings' means, which later runs change.

        Those are made of all reports, and so not at each: unless it is the last time, they may be a moment old.
        """
        if not self._repeated:
            return self._front.members, self._front.hypervolume
        front = self._front_of_means(anew=is_last)
        return rows(front.members), front.hypervolume

    def _end_trial(self, trial: Trial, state: TrialState, reason: str = "", detail: str = "") -> None:
        name = trial_name(trial)
        self._running.pop(name, None)
        seconds, profile = (trial.last_result or {}).get("time_total_s"), self._profiles.end(name)
        self._records.end_trial(name, trial.config, state, reason, seconds, profile)
        if self._tracker:
            self._tracker.end_trial(name, state, reason, detail, profile if self._records.keeps_profiles else {})
            count = self._records.num_trials
            ended = count.total() - count[TrialState.RUNNING]
            self._tracker.log_hypervolume(ended, self._live_front(is_last=not self._running)[1])
        self._show_trials()

    def _show_trials(self) -> None:
        if self._view:
            count = self._records.num_trials
            done = count[TrialState.COMPLETE] + count[TrialState.STOPPED]
            under_way = sum(self._running.values()) / self._reports_per_trial
            self._view.trials(
                count[TrialState.RUNNING], done, count[TrialState.FAIL], self._num_trials, under_way=under_way
            )


def _is_candidate(report: Mapping[str, Any]) -> bool:
    return bool(report["candidate"])


def _live_callback(study: str) -> Callback:
    """The process's callback of a study; without one, a callback that does nothing."""
    return StudyCallback._live.get(study) or Callback()


def verdict(outcome: Outcome | None) -> tuple[TrialState, str]:
    """State and reason of a trial that Ray takes as complete, by the searcher's word where there is one."""
    if outcome is not None and outcome.reason is not None:
        return TrialState.FAIL, outcome.reason
    if outcome is not None and outcome.stopped_at_rung is not None:
        return TrialState.COMPLETE, outcome.stopped_by or f"{STOPPED_EARLY} {outcome.stopped_at_rung}"
    return TrialState.COMPLETE, ""


def trial_name(trial: Trial) -> str:
    """The trial's one identity: the Optuna number, which Ray has in the configuration and puts its own id over."""
    return str(trial.config.get("trial_id", trial.trial_id))


def report_of(trial: Trial, result: Mapping[str, Any]) -> dict[str, Any]:
    """A flat report: the trial's configuration under what it reported, without what Ray adds of its own."""
    reported = {key: value for key, value in result.items() if key not in NO_REPORT}
    return {**trial.config, **reported, "trial_id": trial_name(trial)}


def has_ended(trial: Trial) -> bool:
    """Whether a trial's last report has come: whatever becomes of its process then, it came to its end."""
    return bool((trial.last_result or {}).get("done"))


def error_text(trial: Trial) -> str:
    """The last failure's text. Ray writes it on this machine at once and copies it to the storage path later."""
    if trial.error_file is None or not Path(trial.error_file).exists():
        return str(trial.get_error() or "")
    return Path(trial.error_file).read_text(encoding="utf-8", errors="replace").rpartition("Failure # ")[2]


def _cause(text: str) -> str:
    """What Ray says of a dead actor first, before what may be behind it; else the end of a traceback."""
    of_actor = next((line for line in text.splitlines() if line.startswith("The actor ")), "")
    return (of_actor or _last_line(text)).partition(". ")[0]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:DETAIL_LENGTH] if lines else ""
