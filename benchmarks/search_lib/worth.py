"""What a search has found so far: the hypervolume, free of errors of measuring, of models held for feasible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from analysis.growing_front import GrowingFront
from benchmarks.search_lib.recorded import Header
from benchmarks.search_lib.truth import Truth, measured
from search_spaces import space_of
from search_spaces.ranges import value_at
from tuning.constraints import bound_value, is_feasible
from tuning.goals import Constraint, Objective
from tuning.judging import Goals

OBJECTIVES = (Objective("sscd", "minimize"), Objective("nll", "maximize"))
#: Points along each parameter at which the best known front is looked for, by the number of parameters.
DENSE: Final[Mapping[int, int]] = {0: 1, 1: 400, 2: 50}


@dataclass(frozen=True)
class Finding:
    """A report: when it came, in rows, what was measured and what is true of the model that was trained."""

    time: float
    measured: Mapping[str, float]
    truth: Mapping[str, float]


def goals_of(header: Header, constraint: Constraint) -> Goals:
    """What the recorded study is judged by: the untouched model is the reference; ideal is an image never seen."""
    ideal = {"sscd": 0.0, "nll": header.unseen_bits_per_dim}
    return Goals(OBJECTIVES, (constraint,), measured(header.untouched), ideal)


def bound_of(goals: Goals) -> float:
    """The constraint's bound in its metric's unit."""
    return bound_value(goals.constraints[0], goals.baseline)


def anytime(findings: Iterable[Finding], goals: Goals) -> list[tuple[float, float]]:
    """(time, hypervolume) at every change: of the truth of all reports that were measured as feasible.

    A front is chosen among those, and measured again before it is handed out: a lucky report cannot hide a good one for
    good. Whatever is not feasible in truth counts nothing.
    """
    curve, front = [(0.0, 0.0)], GrowingFront(goals)
    for finding in findings:
        if is_feasible(finding.measured, goals.constraints, goals.baseline) and front.add(finding.truth):
            curve.append((finding.time, front.hypervolume))
    return curve


def best_known(truth: Truth, goals: Goals) -> float:
    """Hypervolume over a dense net of all methods' settings, at all rungs, and over all models that were recorded."""
    found = [reports for method in truth.methods for reports in truth.all_reports(method, _everywhere(truth, method))]
    recorded = [measured(report) for trials in truth.trials.values() for trial in trials for report in trial.reports]
    return GrowingFront(goals, [*(report for reports in found for report in reports), *recorded]).hypervolume


def _everywhere(truth: Truth, method: str) -> list[Mapping[str, float]]:
    recorded = [trial.settings for trial in truth.trials[method]]
    return [*net(method, DENSE[len(space_of(method).parameters)]), *recorded]


def net(method: str, count: int) -> list[dict[str, float]]:
    """Settings on a regular net of ``count`` values along each parameter's range, as it is sampled."""
    parameters = space_of(method).parameters
    axes = [[value_at(parameter, at) for at in np.linspace(0.0, 1.0, count)] for parameter in parameters]
    names = [parameter.sampled_name for parameter in parameters]
    return [dict(zip(names, values, strict=True)) for values in product(*axes)]
