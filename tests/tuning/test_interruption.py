"""Signals, for real, to this process."""

import os
import pickle
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tuning.deadline import Deadline, UntilDeadline
from tuning.interruption import SIGNALS, Interruption, UntilInterrupted, kept_sigterm


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_wish_and_a_later_one_ends_it(number: int) -> None:
    clock, before = Clock(), [signal.getsignal(one) for one in SIGNALS]
    with Interruption(clock) as interruption:
        assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
        assert not interruption.is_asked()
        os.kill(os.getpid(), number)
        assert interruption.is_asked()
        clock.seconds += 0.9
        os.kill(os.getpid(), number)  # to the group, and passed on by a parent: the same wish
        clock.seconds += 0.2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert [signal.getsignal(one) for one in SIGNALS] == before
    assert "TUNE_DISABLE_SIGINT_HANDLER" not in os.environ


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interruption.is_asked()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_has_no_signals() -> None:
    before = signal.getsignal(signal.SIGINT)

    def enter() -> None:
        with Interruption() as interruption:
            found.append((signal.getsignal(signal.SIGINT) is before, interruption.is_asked()))

    found: list[tuple[bool, bool]] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [(True, False)]


def test_a_library_does_not_keep_sigterm() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with kept_sigterm():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


class Stopping(FIFOScheduler):  # type: ignore[misc]
    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        return str(TrialScheduler.STOP if result["step"] == 30 else TrialScheduler.CONTINUE)


def make(*states: str) -> tuple[UntilInterrupted, Interruption, Any, list[Any], list[str]]:
    said: list[str] = []
    stopped: list[Any] = []
    trials = [SimpleNamespace(trial_id=str(number), status=state) for number, state in enumerate(states)]
    controller = SimpleNamespace(get_trials=lambda: trials, stop_trial=stopped.append, _trials=trials)
    interruption = Interruption()
    return UntilInterrupted(interruption, Stopping(), said.append), interruption, controller, stopped, said


def test_until_a_signal_the_other_scheduler_decides() -> None:
    scheduler, _, controller, stopped, said = make(Trial.RUNNING)
    decisions = [scheduler.on_trial_result(controller, None, {"step": step}) for step in (10, 30)]
    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert not scheduler.stop_all()
    assert not scheduler("00000", {})
    assert not stopped
    assert not said


def test_after_it_trials_pause_those_that_wait_are_stopped_and_none_running_is_the_end() -> None:
    scheduler, interruption, controller, stopped, said = make(Trial.RUNNING, Trial.PENDING, Trial.RUNNING)
    with interruption:
        os.kill(os.getpid(), signal.SIGTERM)
    decisions = [scheduler.on_trial_result(controller, None, {"step": step}) for step in (10, 30)]
    assert decisions == [TrialScheduler.PAUSE, TrialScheduler.STOP]
    for _ in range(2):
        assert scheduler.choose_trial_to_run(controller) is None
        assert not scheduler.stop_all()
    assert {trial.trial_id for trial in stopped} == {"1"}
    assert said == ["asked to stop: waiting for the next report of 2 trials; ask again to stop at once"]
    for trial in controller._trials:
        trial.status = Trial.PAUSED
    scheduler.choose_trial_to_run(controller)
    assert scheduler.stop_all()


def test_ray_can_pickle_it() -> None:
    scheduler, interruption, *_ = make(Trial.RUNNING)
    with interruption:
        again = pickle.loads(pickle.dumps(scheduler))
    assert not again.stop_all()


def test_the_last_report_of_a_trial_whose_worker_died_reaches_the_scheduler_inside() -> None:
    """As the search puts them together: a rung must know of it as of any other."""
    heard: list[Any] = []

    class Rungs(FIFOScheduler):  # type: ignore[misc]
        def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
            heard.append(result)

    scheduler = UntilInterrupted(Interruption(), UntilDeadline(Deadline(None), Rungs()), [].append)
    last = {"step": 30, "done": True, "time_total_s": 1.0}
    scheduler.on_trial_error(None, SimpleNamespace(trial_id="00000", last_result=last))
    scheduler.on_trial_error(None, SimpleNamespace(trial_id="00001", last_result={"step": 10}))
    assert heard == [last]
