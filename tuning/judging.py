"""What a study's reports are judged by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tuning.constraints import bound_value, excess
from tuning.goals import Constraint, Objective, metrics_of

Report = Mapping[str, Any]

#: Excess of a constraint that was not measured or is not finite: far outside, yet a number that samplers can add up.
NOT_MEASURED: Final = 1e3


@dataclass(frozen=True)
class Goals:
    """What reports are judged by.

    Args:
        objectives: metric and direction.
        constraints: bounds.
        baseline: metric → value of the untouched model: the reference of the hypervolume and of relative bounds.
        ideal: metric → value of the retrained model, or of what stands for it.
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)
    ideal: Mapping[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Whether the hypervolume is defined: the ideal is better than the baseline in every objective.

        Raises:
            ValueError: it is not, or one of the two lacks an objective.
        """
        for objective in self.objectives:
            reference, ideal = number(self.baseline, objective.metric), number(self.ideal, objective.metric)
            if not (ideal - reference) * objective.sign < 0:
                raise ValueError(
                    f"the ideal must be better than the baseline where the study is to {objective}, but got baseline "
                    f"{reference:g} and ideal {ideal:g}; measure both more closely, or give another ideal"
                )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that a report must carry, each once."""
        return metrics_of(self.objectives, self.constraints)

    def values(self, report: Report) -> tuple[float, ...]:
        """The objectives' values, NaN where not measured."""
        return tuple(number(report, objective.metric) for objective in self.objectives)

    def is_valid(self, report: Report) -> bool:
        """Whether every objective is a finite number."""
        return all(math.isfinite(value) for value in self.values(report))

    def constraint_values(self, report: Report) -> dict[str, float]:
        """Signed excess over each bound by the bound's size: at most 0 is feasible, in no unit, always finite.

        Keys are the metrics; a metric with two bounds has the operator appended. A bound of 0 has no size: its excess
        counts as it stands. Their `total_excess` is ``tuning.constraints.violation``, but finite.
        """
        return {self._key(c): self._relative_excess(c, number(report, c.metric)) for c in self.constraints}

    def _key(self, constraint: Constraint) -> str:
        twice = sum(c.metric == constraint.metric for c in self.constraints) > 1
        return f"{constraint.metric} {constraint.op}" if twice else constraint.metric

    def _relative_excess(self, constraint: Constraint, value: float) -> float:
        relative = excess(constraint, value, self.baseline) / (abs(bound_value(constraint, self.baseline)) or 1.0)
        return relative if math.isfinite(relative) else NOT_MEASURED


def number(report: Report, name: str) -> float:
    """``report[name]`` as a float; NaN where it is absent or no number."""
    value = report.get(name)
    return float(value) if isinstance(value, (int, float, np.number)) else math.nan


def total_excess(excesses: Iterable[float]) -> float:
    """What samplers and fronts order infeasible reports by: the sum of the positive excesses, 0 where none is."""
    return sum(max(0.0, value) for value in excesses)
