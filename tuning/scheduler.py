"""Stops trials that are not among the best of their rung, under several objectives and constraints.

Asynchronous successive halving in its stopping form (Li et al., "A System for Massively Parallel Hyperparameter
Tuning", arXiv 1810.05934), with the order of reports of MO-ASHA (see ``tuning.promotion``) made a constrained one. No
trial is ever paused, and none waits for another.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pandas as pd
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from analysis.table import rows
from tuning.constraints import bound_value, violation
from tuning.goals import Constraint, Objective
from tuning.judging import Goals, Report, number
from tuning.promotion import is_among_best, num_promoted

_NUMBER: Final = re.compile(r"\d+$")


@dataclass(frozen=True)
class Standing:
    """What a report is ordered by: its objectives, all minimised, NaN where not measured, and its violation."""

    values: tuple[float, ...]
    violation: float


class ParetoHalving(FIFOScheduler):  # type: ignore[misc]
    """Asynchronous successive halving over several objectives and constraints.

    At every rung but the last a trial goes on if it is among the best of the reports recorded there so far, one in
    `reduction_factor` of them and at least one; else it is stopped. Feasible reports come first, by non-dominated
    front, then the others by violation, last those with an objective that is not a finite number. A report counts once
    for each trial and rung: whoever reports at a rung again was let through before.

    A repeat of a setting (``repeat`` above 0) is neither stopped nor counted: it is run to know a good setting better,
    and a rung is for telling settings apart, of which each stands there once.

    The state is what was reported, so ``rebuild`` makes it anew from the reports of an interrupted study. It has no
    metric in Ray's sense, and leaves that of a ``TuneConfig`` to others.

    Args:
        objectives: metric and direction, at least one.
        constraints: bounds; without one, everything is feasible.
        rungs: values of `time_attr` at which trials are compared, rising; at the last one they end by themselves.
        reduction_factor: one in how many goes on, at least 2.
        time_attr: key of a report's progress.
        baseline: metric → value of the untouched model, for relative bounds.
        brackets: how many groups to divide the trials into, by their number, each with rungs of its own; the trials of
            bracket s (from 0) are compared from rung s on.

    Raises:
        ValueError: an argument breaks a rule; the message gives rule, value and remedy.
        KeyError: a bound is relative and the baseline lacks its metric.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        *,
        rungs: Sequence[int],
        reduction_factor: int = 3,
        time_attr: str = "step",
        baseline: Mapping[str, float] | None = None,
        brackets: int = 1,
    ) -> None:
        super().__init__()
        self._goals = Goals(tuple(objectives), tuple(constraints), dict(baseline or {}))
        self._milestones, self._reduction_factor = tuple(rungs), reduction_factor
        self._time_attr, self._brackets = time_attr, brackets
        self._check()
        self._rungs: dict[tuple[int, int], dict[str, Standing]] = {}
        self._stopped: set[str] = set()

    def _check(self) -> None:
        if not self._goals.objectives:
            raise ValueError("there must be at least one objective, but got none; name what reports are compared by")
        steps = self._milestones
        if not steps or any(low >= high for low, high in pairwise(steps)):
            raise ValueError(f"rungs must be one or more and rise strictly, but got {list(steps)}; write [10, 20, 40]")
        if not self._reduction_factor >= 2:
            raise ValueError(f"reduction_factor must be at least 2, but got {self._reduction_factor}; 3 is usual")
        if not 1 <= self._brackets <= max(1, len(steps) - 1):
            raise ValueError(
                f"brackets must be at least 1 and fewer than the {len(steps)} rungs, but got {self._brackets}; "
                "1 compares all trials at every rung"
            )
        for constraint in self._goals.constraints:
            bound_value(constraint, self._goals.baseline)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Takes nothing up: Ray's own would set a placeholder as metric."""
        return True

    # What Ray tells

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Report) -> str:
        """Whether the trial goes on: ``CONTINUE`` or ``STOP``."""
        name, rung = str(trial.trial_id), self._rung_of(str(trial.trial_id), result)
        if rung is None or not self._record(name, rung, result) or self._is_among_best(name, rung):
            return str(TrialScheduler.CONTINUE)
        self._stopped.add(name)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Report) -> None:
        """A last report counts like others; of a trial that ends by itself Ray tells it only here."""
        rung = self._rung_of(str(trial.trial_id), result)
        if rung is not None:
            self._record(str(trial.trial_id), rung, result)

    def debug_string(self) -> str:
        """The reports of each rung in numbers."""
        counts = [f"rung {rung} of bracket {bracket}: {len(known)}" for (bracket, rung), known in self._sorted()]
        return f"Pareto halving, {len(self._stopped)} trials stopped; reports at {', '.join(counts) or 'no rung yet'}"

    # What outlives the process

    def rebuild(self, reports: pd.DataFrame) -> None:
        """Take up what was reported before an interruption; as often as one likes.

        Args:
            reports: as in ``reports.csv``: one row a report, with ``trial_id``, `time_attr` and the metrics.
        """
        for report in rows(reports):
            name = str(report["trial_id"])
            if (rung := self._rung_of(name, report)) is not None:
                self._record(name, rung, report)

    @property
    def reported(self) -> dict[tuple[int, int], dict[str, Standing]]:
        """(bracket, rung) → trial → what its report there is ordered by: all that decisions are made of."""
        return {rung: dict(known) for rung, known in self._rungs.items()}

    # Rungs

    def _bracket_of(self, name: str) -> int:
        """By the number that a trial's id ends with."""
        found = _NUMBER.search(name)
        return int(found.group()) % self._brackets if found else 0

    def _rung_of(self, name: str, report: Report) -> tuple[int, int] | None:
        """Bracket and rung at which a report is compared with others, None where it is not."""
        time = number(report, self._time_attr)
        if math.isnan(time) or number(report, "repeat") > 0:
            return None
        bracket, rung = self._bracket_of(name), bisect_right(self._milestones, time) - 1
        return (bracket, rung) if bracket <= rung < len(self._milestones) - 1 else None

    def _record(self, name: str, rung: tuple[int, int], report: Report) -> bool:
        """Keep a report; False where the trial has one at this rung already, which stays."""
        known = self._rungs.setdefault(rung, {})
        if name in known:
            return False
        known[name] = self._standing(report)
        return True

    def _standing(self, report: Report) -> Standing:
        measured = {metric: number(report, metric) for metric in self._goals.metrics}
        signed = zip(self._goals.objectives, self._goals.values(measured), strict=True)
        excess = violation(measured, self._goals.constraints, self._goals.baseline)
        return Standing(tuple(objective.sign * value for objective, value in signed), excess)

    def _is_among_best(self, name: str, rung: tuple[int, int]) -> bool:
        known = self._rungs[rung]
        standings = known.values()
        values, violations = [standing.values for standing in standings], [standing.violation for standing in standings]
        count = num_promoted(len(known), self._reduction_factor)
        return is_among_best(values, violations, list(known).index(name), count)

    def _sorted(self) -> list[tuple[tuple[int, int], dict[str, Standing]]]:
        return sorted(self._rungs.items(), key=lambda item: item[0])
