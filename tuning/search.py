"""The search stage: trials until all are done, the time budget is over, or somebody interrupts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from search_spaces import published_settings, space_of
from trainable.depot import UnreachableError
from tuning.callback import StudyCallback
from tuning.deadline import CutOff, Deadline, UntilDeadline
from tuning.interruption import Interruption, UntilInterrupted
from tuning.known_trials import known_trials
from tuning.patience import away_behind, is_news
from tuning.reconciliation import reconcile, settle
from tuning.records import TrialState
from tuning.resume_states import ResumeStates
from tuning.retries import Retries
from tuning.scheduler import ParetoHalving
from tuning.schema import StudyConfig
from tuning.search_generator import StudySearchGenerator
from tuning.searcher import ConstrainedOptunaSearch
from tuning.session import Session
from tuning.stopping import ExpectedImprovementStopping
from tuning.timing import TrialClock
from tuning.tracking import retelling
from tuning.transfer import Transfer
from tuning.trials import run_trials
from tuning.warm_start import taken_by


class StudyFailedError(RuntimeError):
    """A study could not go on; what was finished is kept."""


def search(session: Session, *, resume: bool) -> TrialClock:
    """Run the study's trials, until there are enough of them or the time is over, whichever comes first.

    Raises:
        StudyFailedError: no trial reported, or what was reported could not be written.
        StoreAwayError: the Optuna storage stayed away too long.
        KeyboardInterrupt: a signal asked to stop; trials go on from where they were on a resume.
    """
    config, records = session.config, session.records
    searcher = _searcher(session)
    if resume and retelling.is_needed(config, session.files):
        retelling.retell(records, session.tracker, config.depot)
    if resume:
        reconcile(searcher, records, session.tracker)
    scheduler = _scheduler(session, searcher)
    deadline, cut_off, interruption = Deadline(config.time_budget), CutOff(), Interruption()
    until = UntilDeadline(deadline, scheduler)
    asked = UntilInterrupted(interruption, until, session.view.message)
    slots = session.workers.slots
    states = ResumeStates(records, config.depot, len(session.workers.plan.prepared))
    for name in searcher.running_trials():
        states.look_up(name)
    retries = Retries(config.max_failures)

    def takes_up(trial: Trial) -> bool:
        if again := retries.takes_up(trial):
            states.look_up(trial.trial_id)
        return again

    generator = StudySearchGenerator(
        searcher,
        max_concurrent=slots,
        checkpoint_of=states,
        is_over=lambda: deadline.is_over() or interruption.is_asked(),
        takes_up=takes_up,
    )
    callback = StudyCallback(
        records,
        session.goals,
        num_trials=config.num_trials,
        reports_per_trial=len(config.rungs),
        tracker=session.tracker,
        view=session.view,
        outcome=lambda name: until.named(name, searcher.outcome(name)),
    )
    _announce(session)
    clock = TrialClock(slots)
    with _news_alone(), _by_their_cause(), interruption:
        run_trials(config, session.workers.plan, generator, [callback, clock, cut_off], asked, asked)
    # Ray takes an interrupt and returns as if done.
    if interruption.is_asked() or cut_off.names or not (deadline.is_over() or searcher.is_finished()):
        session.tracker.finish_study(TrialState.STOPPED)
        raise KeyboardInterrupt
    settle(searcher, records, session.tracker)
    _require_reports(session)
    return clock


def _announce(session: Session) -> None:
    """The stage of the trials, how long they may take, and what a time budget is enough for."""
    config, pace, slots = session.config, session.workers.pace, session.workers.slots
    if config.time_budget is not None and pace is not None:
        session.view.message(pace.forecast(config.time_budget, config.rungs, slots))
    expected = None if pace is None else -(-config.num_trials // slots) * pace.trial_seconds(config.rungs)
    session.view.stage("trials", config.num_trials, expected=expected, limit=config.time_budget)


@contextmanager
def _news_alone() -> Iterator[None]:
    """Ray's controller says what is known already of trials that are taken up again."""
    controller = logging.getLogger("ray.tune.execution.tune_controller")
    controller.addFilter(is_news)
    try:
        yield
    finally:
        controller.removeFilter(is_news)


@contextmanager
def _by_their_cause() -> Iterator[None]:
    """Errors by what went wrong: Ray puts one of its own, with the text of a traceback, around it.

    Raises:
        StudyFailedError: something could not be written.
        StoreAwayError: the Optuna storage stayed away too long.
    """
    try:
        yield
    except Exception as error:
        if (away := away_behind(error)) is not None:
            raise away from None
        if isinstance(refused := os_error_behind(error), UnreachableError):
            raise StudyFailedError(f"{refused}; see to it first") from error
        if refused is not None:
            raise StudyFailedError(f"nothing more can be written: {refused}; make room on that disk") from error
        raise


def _searcher(session: Session) -> ConstrainedOptunaSearch:
    config, goals = session.config, session.goals
    transfers = taken_by(config)
    return ConstrainedOptunaSearch(
        methods=config.methods,
        objectives=config.objectives,
        constraints=config.constraints,
        baseline=goals.baseline,
        ideal=goals.ideal,
        calibration=session.baseline.calibration,
        fix=config.fix,
        enqueue=starts(config, transfers),
        known=known_trials(transfers, goals, [space_of(method) for method in config.methods], config.fix),
        storage=config.optuna_storage or session.files.journal,
        study_name=config.name,
        sampler=config.searcher,
        seed=config.seed,
        num_trials=config.num_trials,
        repeats=config.repeats,
        last_step=config.rungs[-1],
    )


def starts(config: StudyConfig, transfers: Sequence[Transfer]) -> list[Mapping[str, Any]] | None:
    """Settings to start from: the user's own, those of other studies' fronts, and without the user's the authors'."""
    fronts = [settings for entry in transfers for settings in entry.front]
    if config.enqueue or not fronts:
        return [*config.enqueue, *fronts] or None
    return [*fronts, *published_settings(space_of(method) for method in config.methods)]


def _scheduler(session: Session, searcher: ConstrainedOptunaSearch) -> FIFOScheduler | None:
    """What stops trials early, knowing what was reported before an interruption."""
    return SCHEDULERS[session.config.scheduler](session, searcher)


def _pareto_halving(session: Session, searcher: ConstrainedOptunaSearch) -> FIFOScheduler:
    config = session.config
    scheduler = ParetoHalving(
        config.objectives,
        config.constraints,
        rungs=config.rungs,
        reduction_factor=config.reduction_factor,
        baseline=session.goals.baseline,
    )
    scheduler.rebuild(session.records.reports_frame())
    return scheduler


#: Ways to stop trials early, by name.
SCHEDULERS: Final[Mapping[str, Callable[[Session, ConstrainedOptunaSearch], FIFOScheduler | None]]] = {
    "none": lambda session, searcher: None,
    "expected_improvement": lambda session, searcher: ExpectedImprovementStopping(searcher.is_worth_going_on),
    "pareto_halving": _pareto_halving,
}


def os_error_behind(error: BaseException | None) -> OSError | None:
    """What the system refused, behind an error that Ray has put around it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _require_reports(session: Session) -> None:
    if session.records.reports_frame().empty:
        reasons = sorted({str(reason) for reason in session.records.trials_frame()["reason"]})
        raise StudyFailedError(
            f"no trial reported ({', '.join(reasons) or 'no trial started'}); "
            f"see {session.files.trials} and {session.files.ray}"
        )
