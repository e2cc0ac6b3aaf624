"""The search stage: trials until all are done, the time budget is over, or somebody interrupts."""

from __future__ import annotations

from analysis.table import rows
from tuning.callback import StudyCallback, verdict
from tuning.records import Records, TrialState
from tuning.scheduler import ParetoHalving
from tuning.search_generator import StudySearchGenerator
from tuning.searcher import ConstrainedOptunaSearch
from tuning.session import Session
from tuning.timing import TrialClock
from tuning.tracking import Tracker
from tuning.trials import latest_checkpoint, run_trials


class StudyFailedError(RuntimeError):
    """A study could not go on; what was finished is kept."""


def search(session: Session, *, resume: bool) -> TrialClock:
    """Run the study's trials.

    Raises:
        StudyFailedError: no trial reported.
        KeyboardInterrupt: trials were cut off by an interrupt; they go on from where they were on a resume.
    """
    config, records = session.config, session.records
    searcher = _searcher(session)
    interrupted = reconcile(searcher, records, session.tracker) if resume else {}
    scheduler = _scheduler(session)
    slots = min(config.max_concurrent_trials or session.workers.slots, session.workers.slots)
    generator = StudySearchGenerator(searcher, max_concurrent=slots, checkpoints=interrupted)
    callback = StudyCallback(
        records,
        session.goals,
        num_trials=config.num_trials,
        tracker=session.tracker,
        view=session.view,
        outcome=searcher.outcome,
        scheduler=scheduler,
    )
    session.view.stage("trials", config.num_trials)
    clock, cut_before = TrialClock(slots), _cut_off(records)
    run_trials(config, session.workers.plan, generator, [callback, clock], scheduler)
    # Ray takes an interrupt and returns as if done.
    in_time = config.time_budget is None or clock.elapsed < config.time_budget
    if in_time and _cut_off(records) - cut_before:
        raise KeyboardInterrupt
    _settle(searcher, records)
    _require_reports(session)
    return clock


def _searcher(session: Session) -> ConstrainedOptunaSearch:
    config, goals = session.config, session.goals
    return ConstrainedOptunaSearch(
        methods=config.methods,
        objectives=config.objectives,
        constraints=config.constraints,
        baseline=goals.baseline,
        ideal=goals.ideal,
        calibration=session.baseline.calibration,
        fix=config.fix,
        enqueue=config.enqueue or None,
        storage=config.optuna_storage or session.files.journal,
        study_name=config.name,
        sampler=config.searcher,
        seed=config.seed,
        num_trials=config.num_trials,
        repeats=config.repeats,
        last_step=config.rungs[-1],
    )


def _scheduler(session: Session) -> ParetoHalving | None:
    """What stops trials early, with the rungs that are on disk; Ray keeps none."""
    config = session.config
    if config.scheduler == "none":
        return None
    scheduler = ParetoHalving(
        config.objectives,
        config.constraints,
        rungs=config.rungs,
        reduction_factor=config.reduction_factor,
        baseline=session.goals.baseline,
    )
    scheduler.rebuild(session.records.reports_frame())
    return scheduler


def reconcile(searcher: ConstrainedOptunaSearch, records: Records, tracker: Tracker | None = None) -> dict[str, str]:
    """Settle with Optuna what ended when the last process died.

    A trial is told its last report only when it ends. One with a report on disk that Optuna lacks had therefore come to
    its end, by itself or by the scheduler's word, and only its end was lost.

    Returns:
        Trial → checkpoint of those that were running: they are handed out again and go on from there.
    """
    reports, trials, states = records.reports_frame(), records.trials_frame(), records.states
    lost = [name for name in searcher.running_trials() if set(records.steps(name)) - searcher.steps_told(name)]
    ended = {
        name: rows(reports[reports["trial_id"] == name])
        for name in [*lost, *(name for name in searcher.running_trials() if states.get(name) is TrialState.COMPLETE)]
    }
    reasons = dict(zip(trials["trial_id"], trials["reason"], strict=True))
    failed = {name: str(reasons[name]) for name, state in states.items() if state is TrialState.FAIL}
    # Optuna's word, not the records': a trial may have been lost before it started.
    open_trials = [name for name in searcher.running_trials() if name not in ended and name not in failed]
    searcher.reconcile(ended, failed=failed, again=open_trials)
    for name in lost:
        state, reason = verdict(searcher.outcome(name))
        records.end_trial(name, {}, state, reason)
        if tracker:
            tracker.end_trial(name, state, reason)
    checkpoints = {name: latest_checkpoint(records.files, name) for name in open_trials}
    return {name: path for name, path in checkpoints.items() if path is not None}


def _cut_off(records: Records) -> set[str]:
    return {name for name, state in records.states.items() if state is TrialState.STOPPED}


def _settle(searcher: ConstrainedOptunaSearch, records: Records) -> None:
    """Tell Optuna of trials that the time budget cut off: none is left running."""
    searcher.reconcile({name: () for name in _cut_off(records) if records.steps(name)})


def _require_reports(session: Session) -> None:
    if session.records.reports_frame().empty:
        reasons = sorted({str(reason) for reason in session.records.trials_frame()["reason"]})
        raise StudyFailedError(
            f"no trial reported ({', '.join(reasons) or 'no trial started'}); "
            f"see {session.files.trials} and {session.files.ray}"
        )
