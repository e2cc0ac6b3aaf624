"""A trial as the outlook sees it: one training, where its settings lie, and what was measured of its models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from analysis.hypervolume import gains_of
from search_spaces.ranges import fraction_of
from tuning.judging import NOT_MEASURED, Goals, Report, total_excess
from tuning.optuna_store import reports_of
from tuning.outcome import INTERRUPTED

#: What a training that failed counts for at its last step: less than the untouched model, and twice over each bound.
FAILED_GAIN: Final = -0.5
FAILED_EXCESS: Final = 1.0

Row = tuple[float, ...]


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        number: of its trial.
        method: its method.
        place: settings in the unit cube of the method's free parameters.
        steps: at which it was measured, rising; infinity is the last step of the study.
        gains: of each, by objective.
        excesses: of each, relative, by constraint.
        ended: whether nothing more comes.
    """

    number: int
    method: str
    place: Row
    steps: Row = ()
    gains: tuple[Row, ...] = ()
    excesses: tuple[Row, ...] = ()
    ended: bool = False

    @classmethod
    def of(cls, trial: FrozenTrial, goals: Goals, dimensions: Mapping[str, FloatDistribution]) -> Training:
        """Of a trial and its reports; one of another study, without reports, by the values that it was told."""
        place = tuple(fraction_of(distribution, trial.params[name]) for name, distribution in dimensions.items())
        found = cls(trial.number, trial.user_attrs["method"], place)
        for report in reports_of(trial):
            found = found.with_report(report, goals)
        if trial.state == TrialState.COMPLETE and not found.steps:
            excesses = tuple(
                trial.constraints.get(key, NOT_MEASURED) for key in goals.constraint_values(goals.baseline)
            )
            found = found._with(math.inf, _gains(trial.values, goals), excesses)
        if trial.state == TrialState.FAIL and trial.user_attrs.get("reason") != INTERRUPTED:
            failed = (FAILED_GAIN,) * len(goals.objectives), (FAILED_EXCESS,) * len(goals.constraints)
            found = found._with(math.inf, *failed)
        return replace(found, ended=trial.state.is_finished())

    def with_report(self, report: Report, goals: Goals) -> Training:
        """With one report more; one at a step that it has, or without every objective, adds nothing."""
        step = float(report["step"])
        if step in self.steps or not goals.is_valid(report):
            return self
        return self._with(step, _gains(goals.values(report), goals), tuple(goals.constraint_values(report).values()))

    @cached_property
    def standing(self) -> tuple[Row, float]:
        """By what it is ranked among others: minimised gains and violation of its last model."""
        return tuple(-gain for gain in self.gains[-1]), total_excess(self.excesses[-1])

    def _with(self, step: float, gains: Row, excesses: Row) -> Training:
        return replace(
            self,
            steps=(*self.steps, step),
            gains=(*self.gains, gains),
            excesses=(*self.excesses, excesses),
        )


def _gains(values: Sequence[float], goals: Goals) -> Row:
    return tuple(gains_of(np.array([values]), goals.objectives, goals.baseline, goals.ideal)[0].tolist())
