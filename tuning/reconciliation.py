"""What an interruption left open between Optuna, the records and MLflow is settled before a study goes on."""

from __future__ import annotations

from analysis.table import rows
from tuning.callback import CUT_OFF, verdict
from tuning.outcome import TIME_BUDGET
from tuning.records import Records, TrialState
from tuning.searcher import ConstrainedOptunaSearch
from tuning.tracking import Tracker


def reconcile(searcher: ConstrainedOptunaSearch, records: Records, tracker: Tracker | None = None) -> None:
    """Settle with Optuna what ended when the last process died.

    A trial is told its last report only when it ends. One with a report on disk that Optuna lacks had therefore come to
    its end, by itself or by the scheduler's word, and only its end was lost; so had one that reported at the last step.

    What was running is handed out again and goes on from its last checkpoint. Where Optuna had heard of an end and the
    records had not, they hear of it now.
    """
    reports, trials, states = records.reports_frame(), records.trials_frame(), records.states
    lost = [
        name
        for name in searcher.running_trials()
        if set(records.steps(name)) - searcher.steps_told(name) or searcher.last_step in records.steps(name)
    ]
    ended = {
        name: rows(reports[reports["trial_id"] == name])
        for name in [*lost, *(name for name in searcher.running_trials() if states.get(name) is TrialState.COMPLETE)]
    }
    untold = [name for name in open_in_records(records) if name not in searcher.running_trials()]
    reasons = dict(zip(trials["trial_id"], trials["reason"], strict=True))
    failed = {name: str(reasons[name]) for name, state in states.items() if state is TrialState.FAIL}
    # Optuna's word, not the records': a trial may have been lost before it started.
    open_trials = [name for name in searcher.running_trials() if name not in ended and name not in failed]
    searcher.reconcile(ended, failed=failed, again=open_trials)
    for name in [*lost, *untold]:
        state, reason = verdict(searcher.outcome(name))
        records.end_trial(name, {}, state, reason)
        if tracker:
            tracker.end_trial(name, state, reason)


def settle(searcher: ConstrainedOptunaSearch, records: Records, tracker: Tracker | None = None) -> None:
    """Tell Optuna of trials that did not get to run before the time was over: none is left running.

    One that had reported before an interruption counts with that; the settings of the others are run again if the study
    is resumed.
    """
    waiting = searcher.running_trials()
    searcher.reconcile({name: () for name in waiting if records.steps(name)})
    for name in waiting:
        state, reason = (TrialState.COMPLETE, TIME_BUDGET) if records.steps(name) else (TrialState.STOPPED, CUT_OFF)
        records.end_trial(name, {}, state, reason)
        if tracker:
            tracker.end_trial(name, state, reason)


def open_in_records(records: Records) -> list[str]:
    """The trials that by the records still run."""
    return [name for name, state in records.states.items() if state is TrialState.RUNNING]
