"""Stops trials of which less is to be expected than of new ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tuning.judging import Report, number


class ExpectedImprovementStopping(FIFOScheduler):  # type: ignore[misc]
    """At each report a trial goes on while the steps before it promise as much, step for step, as a new trial would.

    What they promise is hypervolume of the constrained front, as the search expects it from all that was reported
    (`tuning.outlook`). Unlike the rungs of `tuning.scheduler.ParetoHalving` it knows how noisy reports are, and that a
    model which is not good enough yet may become so.

    A repeat of a setting (``repeat`` above 0) is never stopped: it is run to know a good setting better. No trial is
    paused, and none waits for another. There is no state: what was reported is the search's.

    Args:
        is_worth_going_on: whether a running trial with its new report is; of `ConstrainedOptunaSearch`.
    """

    def __init__(self, is_worth_going_on: Callable[[str, Report], bool]) -> None:
        super().__init__()
        self._is_worth_going_on = is_worth_going_on
        self._num_stopped = 0

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Takes nothing up: Ray's own would set a placeholder as metric."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Report) -> str:
        """``CONTINUE`` or ``STOP``."""
        is_repeat = number(result, "repeat") > 0
        if "step" not in result or is_repeat or self._is_worth_going_on(str(trial.trial_id), result):
            return str(TrialScheduler.CONTINUE)
        self._num_stopped += 1
        return str(TrialScheduler.STOP)

    def debug_string(self) -> str:
        """How many were stopped."""
        return f"expected improvement, {self._num_stopped} trials stopped"
