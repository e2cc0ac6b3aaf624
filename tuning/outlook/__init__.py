"""What may still come of a study: the worth of new trials and of those that run, beside what has been found.

Points spread evenly over the box between the untouched model and the ideal stand for the hypervolume. A model reaches a
point if it keeps all bounds and has at least the point's gains. All that is known is how likely each model reaches each
point (`belief`): one that was measured, one that is being trained, and one that might be. What none of them reaches is
left, and the worth of one more model is how much of that it is expected to reach.

So errors of measuring, the luck of a training, and what is not known of a setting are weighed in one place. A model
that seems to break a bound by less than it can be known counts in part, and so does a lucky one that seems to keep it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial
from scipy.stats import qmc

from search_spaces.ranges import value_at
from tuning.judging import Goals, Report
from tuning.outlook.belief import bent_gains
from tuning.outlook.method import MethodOutlook
from tuning.outlook.surrogate import Array
from tuning.outlook.training import Training

#: Points that stand for the hypervolume.
NUM_POINTS: Final = 512
#: Hypervolume below which an expectation says no more than that there is none.
LEAST_WORTH: Final = 1e-9
#: Rounds in which the best setting is looked for more closely, how far about it, and how many are tried in each.
ROUNDS: Final = (0.1, 0.03)
NUM_NEAR: Final = 32


class Outlook:
    """The models of a study, found and to come.

    Args:
        goals: objectives, constraints, untouched model and ideal.
        dimensions: method → the distributions of its free parameters by Optuna name.
    """

    def __init__(self, goals: Goals, dimensions: Mapping[str, Mapping[str, FloatDistribution]]) -> None:
        self._goals, self._dimensions = goals, dimensions
        sampler = qmc.Sobol(len(goals.objectives), scramble=True, seed=0)
        self._points: Array = bent_gains(sampler.random(NUM_POINTS))
        self._untouched = np.array(list(goals.constraint_values(goals.baseline).values()))
        self._methods: dict[str, MethodOutlook] = {}
        self._method_of: dict[int, str] = {}
        self._steps: set[float] = set()

    def put(self, trial: FrozenTrial) -> None:
        """A trial that has begun or ended."""
        self._put(Training.of(trial, self._goals, self._dimensions.get(trial.user_attrs["method"], {})))

    def add(self, number: int, report: Report) -> None:
        """A running trial reported."""
        training = self._method(self._method_of[number]).training(number)
        self._put(training.with_report(report, self._goals))

    def suggest(self, methods: Iterable[str], seed: int) -> tuple[str, dict[str, float]] | None:
        """The setting of which most is expected, among those of `methods`: the method and its free parameters.

        None before anything was reported, and where nothing more is to be had: then all settings are alike.
        """
        if not self._steps:
            return None
        left, rng = self._left(), np.random.default_rng(seed)
        best = {method: self._method(method).best(left) for method in methods}
        method = max(best, key=lambda name: best[name][0])
        worth, place = best[method]
        if worth < LEAST_WORTH:
            return None
        for width in ROUNDS:
            near = np.clip(place + width * rng.standard_normal((NUM_NEAR, len(place))), 0.0, 1.0)
            worths = self._method(method).worths(near, left)
            if worths.max() > worth:
                worth, place = float(worths.max()), near[int(worths.argmax())]
        dimensions = self._dimensions[method].items()
        return method, {name: value_at(d, float(at)) for (name, d), at in zip(dimensions, place, strict=True)}

    def is_worth_going_on(self, number: int) -> bool:
        """Whether the steps that a running trial has before it promise as much for each of them as a new trial does.

        What a trial promises is what no other model reaches, nor this one at the steps behind it.
        """
        method = self._method(self._method_of[number])
        training = method.training(number)
        last = self._rungs[-1]
        if not training.steps or training.steps[-1] >= last or not self._dimensions:
            return True
        left = self._left(but=number)
        behind, before = method.promise(number)
        promised = float(np.maximum(before - behind, 0.0) @ left)
        new = max(self._method(name).best(left * (1.0 - behind))[0] for name in self._dimensions)
        return promised >= new * (1.0 - training.steps[-1] / last)

    def _put(self, training: Training) -> None:
        self._method_of[training.number] = training.method
        self._method(training.method).put(training)
        if not self._steps.issuperset(training.steps):
            self._steps.update(training.steps)
            for method in self._methods.values():
                method.set_rungs(self._rungs)

    @property
    def _rungs(self) -> list[float]:
        """The steps at which models are measured, rising; one for all where only other studies' are known."""
        return sorted(filter(math.isfinite, self._steps)) or [1.0]

    def _method(self, name: str) -> MethodOutlook:
        if name not in self._methods:
            dimensions = len(self._dimensions.get(name, {}))
            self._methods[name] = MethodOutlook(dimensions, self._points, self._untouched)
            self._methods[name].set_rungs(self._rungs)
        return self._methods[name]

    def _left(self, but: int | None = None) -> Array:
        """(p,) how likely no model reaches a point, one trial's left out."""
        found: Array = np.exp(sum((m.log_left(but) for m in self._methods.values()), np.zeros(NUM_POINTS)))
        return found / NUM_POINTS
