"""How long a trial takes, by what was measured before any began, and how many of them a time holds: roughly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuning.remaining import duration


@dataclass(frozen=True)
class Pace:
    """What parts of a trial took on this machine.

    Attributes:
        step_seconds: one optimiser step, of each model that a trial trains.
        report_seconds: measuring a model as trials do, and loading it, which trials do once only.
    """

    step_seconds: float
    report_seconds: float

    def trial_seconds(self, rungs: Sequence[int]) -> float:
        """A trial that runs through all `rungs`."""
        return rungs[-1] * self.step_seconds + len(rungs) * self.report_seconds

    def forecast(self, time_budget: float, rungs: Sequence[int], slots: int) -> str:
        """How many trials the time holds, `slots` at a time, in words.

        Since none starts when the time is over and those that run are not lost, it is ⌈time / trial⌉ for each slot.
        """
        seconds = self.trial_seconds(rungs)
        count = slots * max(1, -(-time_budget // seconds))
        noun = "trial" if count == 1 else "trials"
        return (
            f"the time budget of {duration(time_budget)} holds about {count:.0f} {noun}, "
            f"{slots} at a time and about {duration(seconds)} each"
        )
