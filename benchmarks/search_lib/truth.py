"""What a model is really worth, between recorded trials: smoothed over settings, for each method, rung and metric.

A Gaussian process (Matérn 5/2, a length scale for each parameter, a noise term beside the known error of measuring) is
fitted to what was recorded at full fidelity. Its mean is taken for the truth: what the settings are worth, not one
lucky training. Its noise term is taken for the spread between trainings of equal settings; for naive deletion, which
has no settings, that is what its seeds show, for others it also holds what the smoothing misses. Rungs are kept apart:
a training that is off at one rung is off at the next, which a common process would take for a feature of the settings.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from benchmarks.search_lib.recorded import LOOKS, Record, Report, Trial
from search_spaces import space_of
from search_spaces.ranges import fraction_of
from search_spaces.space import Parameter

Array = NDArray[np.float64]

METRICS: Final = ("sscd", "nll", "fid")
#: Metrics that are smoothed as logarithms: they are positive, and their errors are shares of them.
LOGARITHMIC: Final = frozenset({"fid"})
#: Added to a share and to what is left of it before the logit is taken.
SOFTENING: Final = 0.02
#: Bounds of the length scales in the unit cube: about the distance of recorded settings, and a flat dimension.
LENGTHS: Final = (0.2, 10.0)


def measured(report: Report) -> dict[str, float]:
    """The metrics of a recorded report at full fidelity."""
    return {
        "sscd": float(np.mean(report.similarities)),
        "nll": float(np.mean(report.bits_per_dim)),
        "fid": report.distances[max(LOOKS)].value,
    }


def squared_errors(report: Report) -> dict[str, float]:
    """Squared standard errors of `measured`, of a logarithm where that is what is smoothed."""
    distance = report.distances[max(LOOKS)]
    return {
        "sscd": float(np.var(report.similarities, ddof=1)) / len(report.similarities),
        "nll": float(np.var(report.bits_per_dim, ddof=1)) / len(report.bits_per_dim),
        "fid": (distance.difference_stderr / distance.value) ** 2,
    }


def place_of(method: str, settings: Mapping[str, float]) -> tuple[float, ...]:
    """Where settings lie in the unit cube of their method's parameters, as these act."""
    return tuple(_place(parameter, settings[parameter.sampled_name]) for parameter in space_of(method).parameters)


def _place(parameter: Parameter, value: float) -> float:
    """Along the range as it is sampled; a share by its logit, since its ends are methods of their own."""
    fraction = fraction_of(parameter, value)
    if parameter.log:
        return fraction
    low, high = (math.log((at + SOFTENING) / (1.0 - at + SOFTENING)) for at in (0.0, fraction))
    return (high - low) / (-2.0 * low)


@dataclass(frozen=True)
class Smooth:
    """One metric of one method at one rung, over the places of its settings."""

    process: GaussianProcessRegressor
    logarithmic: bool

    @classmethod
    def fit(cls, inputs: Array, values: Array, squared_errors: Array, logarithmic: bool) -> Smooth:
        """Fit length scales and noise by the likelihood, from several beginnings; measuring has its own noise."""
        target = np.log(values) if logarithmic else values
        kernel = ConstantKernel(1.0, (0.01, 100.0)) * Matern(
            np.full(inputs.shape[1], 0.5), LENGTHS, nu=2.5
        ) + WhiteKernel(0.01, (1e-5, 1.0))
        scaled = squared_errors / (float(target.var()) or 1.0)
        process = GaussianProcessRegressor(
            kernel, alpha=scaled, normalize_y=True, n_restarts_optimizer=2, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a scale at the end of its range: a flat dimension
            process.fit(inputs, target)
        return cls(process, logarithmic)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise term, in the metric's unit or, of a logarithm, as a share."""
        found = [part for part in _parts(self.process.kernel_) if isinstance(part, WhiteKernel)]
        return math.sqrt(found[0].noise_level) * float(self.process._y_train_std)

    def at(self, inputs: Array) -> Array:
        """(n,) the metric at (n, d) places."""
        found: Array = self.process.predict(inputs)
        return np.exp(found) if self.logarithmic else found

    def noisy(self, value: float, draw: float) -> float:
        """A training's value, whose noise is ``draw`` standard deviations."""
        return value * math.exp(self.noise * draw) if self.logarithmic else value + self.noise * draw

    def left_out(self, inputs: Array, values: Array) -> tuple[Array, Array]:
        """(n,) values, and each as predicted without it, both as they are smoothed; length scales stay as they are."""
        target = np.log(values) if self.logarithmic else values
        found = np.empty(len(values))
        for position in range(len(values)):
            inside = np.arange(len(values)) != position
            process = GaussianProcessRegressor(
                self.process.kernel_, alpha=self.process.alpha[inside], optimizer=None, normalize_y=True
            )
            found[position] = process.fit(inputs[inside], target[inside]).predict(inputs[[position]])[0]
        return target, found


@dataclass(frozen=True)
class Validation:
    """How well a metric of a method is predicted for trials left out: error by the metric's spread, and R².

    Over all rungs together; the distance as its logarithm.
    """

    method: str
    metric: str
    num_trials: int
    relative_error: float
    r2: float


class Truth:
    """Every method's metrics over its settings and rungs; which of its settings fail, and where.

    Args:
        record: recorded trials; those that never reported only say where a method fails.
    """

    def __init__(self, record: Record) -> None:
        self.rungs = record.header.rungs
        self.trials = {method: _of(method, record.trials) for method in sorted({t.method for t in record.trials})}
        self._places = {
            method: np.array([place_of(method, trial.settings) or (0.0,) for trial in trials])
            for method, trials in self.trials.items()
        }
        self.smooth = {method: [self._fit(method, rung) for rung in range(len(self.rungs))] for method in self.trials}

    @property
    def methods(self) -> tuple[str, ...]:
        """Those recorded."""
        return tuple(self.trials)

    def nearest(self, method: str, settings: Mapping[str, float]) -> Trial:
        """The recorded trial whose settings are the nearest."""
        distance = ((self._places[method] - np.array(place_of(method, settings) or (0.0,))) ** 2).sum(axis=1)
        return self.trials[method][int(distance.argmin())]

    def reports(self, method: str, settings: Mapping[str, float]) -> list[dict[str, float]]:
        """The metrics at each rung; fewer rungs where the nearest recorded trial failed after those."""
        return self.all_reports(method, [settings])[0]

    def all_reports(self, method: str, many: Sequence[Mapping[str, float]]) -> list[list[dict[str, float]]]:
        """The reports of many settings at once."""
        places = np.array([place_of(method, settings) or (0.0,) for settings in many])
        rungs = [{metric: smooth.at(places) for metric, smooth in found.items()} for found in self.smooth[method]]
        return [
            [
                {metric: float(values[number]) for metric, values in found.items()}
                for found in rungs[: len(self.nearest(method, settings).reports)]
            ]
            for number, settings in enumerate(many)
        ]

    def validate(self) -> list[Validation]:
        """Leave-one-out errors of each method and metric."""
        return [self._validate(method, metric) for method in self.methods for metric in METRICS]

    def _validate(self, method: str, metric: str) -> Validation:
        pairs = []
        for rung, smooth in enumerate(self.smooth[method]):
            places, reports = self._data(method, rung)
            if metric in smooth:
                pairs.append(smooth[metric].left_out(places, np.array([measured(r)[metric] for r in reports])))
        values, found = (np.concatenate(column) for column in zip(*pairs, strict=True))
        relative = float(np.sqrt(((found - values) ** 2).mean())) / (float(values.std()) or math.nan)
        return Validation(method, metric, len(self.trials[method]), relative, 1.0 - relative**2)

    def _fit(self, method: str, rung: int) -> dict[str, Smooth]:
        """Each metric; none at a rung that fewer than two trials reached."""
        places, reports = self._data(method, rung)
        if len(reports) < 2:
            return {}
        values, errors = [measured(report) for report in reports], [squared_errors(report) for report in reports]
        return {
            metric: Smooth.fit(
                places,
                np.array([value[metric] for value in values]),
                np.array([error[metric] for error in errors]),
                metric in LOGARITHMIC,
            )
            for metric in METRICS
        }

    def _data(self, method: str, rung: int) -> tuple[Array, list[Report]]:
        """The trials that reached a rung: (n, d) places and their reports."""
        there = [number for number, trial in enumerate(self.trials[method]) if len(trial.reports) > rung]
        return self._places[method][there], [self.trials[method][number].reports[rung] for number in there]


def _of(method: str, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    return tuple(trial for trial in trials if trial.method == method)


def _parts(kernel: object) -> list[object]:
    """A kernel's sum and product taken apart."""
    if hasattr(kernel, "k1") and hasattr(kernel, "k2"):
        return [*_parts(kernel.k1), *_parts(kernel.k2)]
    return [kernel]
