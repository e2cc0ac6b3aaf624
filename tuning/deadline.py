"""A time budget that wastes nothing: when it is over no trial starts, and those that run end at their next report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tuning.callback import has_ended
from tuning.judging import Report
from tuning.outcome import TIME_BUDGET, Outcome


class Deadline:
    """When a study's search is over, by a clock that never goes back.

    Args:
        seconds: from now on; None for a search that only its trials end.
        clock: seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds

    def is_over(self) -> bool:
        return self._end is not None and self._clock() >= self._end


class CutOff(Callback):  # type: ignore[misc]
    """Which trials an interrupt cut off: Ray returns from one as if all were done."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._ended: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended.discard(str(trial.trial_id))  # it failed, and was taken up again

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended.add(str(trial.trial_id))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended.add(str(trial.trial_id))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self.names = {str(trial.trial_id) for trial in trials} - self._ended


class UntilDeadline(FIFOScheduler):  # type: ignore[misc]
    """Another scheduler's decisions until the deadline; after it every trial ends at its next report.

    A trial that waits for a machine by then is stopped before it starts. The report at which a trial ends counts like
    any other, in the records and for the scheduler inside.

    Args:
        deadline: when the time is over.
        inner: a scheduler that pauses no trial and keeps no queue, as Ray's default and `ParetoHalving`.
    """

    def __init__(self, deadline: Deadline, inner: FIFOScheduler | None = None) -> None:
        super().__init__()
        self._deadline, self._inner = deadline, inner or FIFOScheduler()
        self._stopped: set[str] = set()

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Takes nothing up, as `ParetoHalving`."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Report) -> str:
        """``CONTINUE`` or ``STOP``."""
        decision = str(self._inner.on_trial_result(tune_controller, trial, result))
        if decision == TrialScheduler.STOP or not self._deadline.is_over():
            return decision
        self._stopped.add(str(trial.trial_id))
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Report) -> None:
        self._inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """The end of a worker is none of its trial, unless the last report had come: that counts like any other."""
        if has_ended(trial):
            self._inner.on_trial_complete(tune_controller, trial, trial.last_result)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that waits longest. Ray asks before it starts any, which is the moment to stop those waiting."""
        if not self._deadline.is_over():
            return self._inner.choose_trial_to_run(tune_controller)
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING:
                tune_controller.stop_trial(trial)
        return None

    def debug_string(self) -> str:
        return str(self._inner.debug_string())

    def named(self, trial_id: str, outcome: Outcome | None) -> Outcome | None:
        """`outcome`, with the budget as what stopped the trial where that is so."""
        return replace(outcome, stopped_by=TIME_BUDGET) if outcome and trial_id in self._stopped else outcome
