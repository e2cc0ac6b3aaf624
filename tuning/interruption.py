"""Asked to stop, by Ctrl-C or SIGTERM: running trials go on to their next report, and from there when resumed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final

from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tuning.judging import Report

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
#: Signals that come this close together, in seconds, are one wish: whoever ends a process group often tells each twice.
ONE_WISH_SECONDS: Final = 1.0
#: Ray puts a handler of its own over the one that is there, unless told not to.
_RAYS_HANDLER_OFF: Final = "TUNE_DISABLE_SIGINT_HANDLER"


class Interruption:
    """A stretch of work in which the first signal is a wish, and a second one KeyboardInterrupt there and then.

    A context; where it is not the main thread that enters it, signals stay what they were. One that this process was
    started to ignore (``nohup``) stays ignored.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._before: dict[int, Any] = {}

    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked_at is not None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            os.environ[_RAYS_HANDLER_OFF] = "1"
            taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._take) for number in taken}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            os.environ.pop(_RAYS_HANDLER_OFF, None)
        self._before = {}

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = self._clock()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > ONE_WISH_SECONDS:
            signal.default_int_handler(number, frame)

    def __reduce__(self) -> tuple[type[Interruption], tuple[()]]:
        """Ray pickles what schedulers hold; handlers belong to this process."""
        return Interruption, ()


class UntilInterrupted(FIFOScheduler, Stopper):  # type: ignore[misc]
    """Another scheduler's decisions until a signal comes; then every trial pauses at its next report.

    A paused trial has its resume state on disk and is told to nobody as ended: on a resume it goes on. One that waits
    for a machine is stopped before it starts. The experiment is over once none runs: hand this to Ray as scheduler and
    as stopper.

    Args:
        interruption: whether a signal came.
        inner: a scheduler that pauses no trial and keeps no queue.
        say: takes a line for the user, once.
    """

    def __init__(self, interruption: Interruption, inner: FIFOScheduler, say: Callable[[str], None]) -> None:
        FIFOScheduler.__init__(self)
        self._interruption, self._inner, self._say = interruption, inner, say
        self._was_said, self._none_runs = False, False

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Takes nothing up, as `ParetoHalving`."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Report) -> str:
        """``CONTINUE``, ``STOP`` or ``PAUSE``."""
        decision = str(self._inner.on_trial_result(tune_controller, trial, result))
        pauses = self._interruption.is_asked() and decision != TrialScheduler.STOP and not result.get("done")
        return str(TrialScheduler.PAUSE) if pauses else decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Report) -> None:
        self._inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._inner.on_trial_error(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """What the other one chooses. Ray asks at every turn, which is the moment to stop those that wait."""
        if not self._interruption.is_asked():
            return self._inner.choose_trial_to_run(tune_controller)
        trials = tune_controller.get_trials()
        for trial in trials:
            if trial.status == Trial.PENDING:
                tune_controller.stop_trial(trial)
        running = sum(trial.status == Trial.RUNNING for trial in trials)
        self._none_runs = not running
        if running and not self._was_said:
            self._say(f"asked to stop: waiting for the next report of {_counted(running)}; ask again to stop at once")
            self._was_said = True
        return None

    def debug_string(self) -> str:
        return str(self._inner.debug_string())

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """As a stopper: trials end by the scheduler's word alone."""
        return False

    def stop_all(self) -> bool:
        """As a stopper: whether the experiment is over."""
        return self._none_runs

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_say": None}


def stop_at_once() -> None:
    """From another thread: KeyboardInterrupt in the main one, as Ctrl-C, and while trials run a second Ctrl-C.

    Nothing where the process takes no signals; whoever calls must have another way to say so in the end.
    """
    number = next((number for number in SIGNALS if callable(signal.getsignal(number))), None)
    main = threading.main_thread().ident
    if number is None or main is None:
        return
    signal.pthread_kill(main, number)
    time.sleep(1.5 * ONE_WISH_SECONDS)
    # Outside of it one signal was enough, and another would disturb what is being closed.
    if isinstance(getattr(signal.getsignal(number), "__self__", None), Interruption):
        signal.pthread_kill(main, number)


@contextmanager
def kept_sigterm() -> Iterator[None]:
    """Puts the handler of SIGTERM back that a library replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _counted(running: int) -> str:
    return "1 trial" if running == 1 else f"{running} trials"
