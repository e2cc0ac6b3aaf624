"""What a method's settings are worth, learned from the reports of a study: a Gaussian process over settings and steps.

One process stands for one quantity of one method. With settings x in the unit cube, a step's position s and training i

    y = f(x, s) + g(s) + u_i(s) + e,

f being what the settings are worth, g what fine-tuning does to every model, u_i the luck of one training (equal
settings give different models, better or worse at all of their steps), and e the error of measuring. All have mean
zero, which is the untouched model, and f, g and u Matérn 5/2 covariances. A model that is handed out was trained: it
is f + g + u, so that predictions include a training's luck, and leave the error of measuring out.

Scales maximise the likelihood times a log-normal prior (maximum a posteriori; Rasmussen and Williams 2006, chapter 5),
which keeps them sensible with the handful of trials that a search begins with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

_ROOT5: Final = 5.0**0.5
#: Medians and log standard deviations of the priors.
SIGNAL: Final = (1.0, 0.8)
LENGTH: Final = (0.4, 0.6)  # along a parameter, whose range is 1
STEP_LENGTH: Final = (2.0, 0.7)  # in octaves of steps
LUCK: Final = (0.3, 1.0)
ERROR: Final = (0.15, 1.0)
#: What fine-tuning does to every model: its standard deviation, and its length in octaves of steps.
TREND: Final = 1.0
TREND_LENGTH: Final = 2.0
#: Octaves of steps over which the luck of a training lasts.
LUCK_LENGTH: Final = 3.0
#: Least variance of an error of measuring, for the sake of the factorisation.
JITTER: Final = 1e-6


@dataclass(frozen=True)
class Inputs:
    """Models that were, or may be, trained and measured.

    Attributes:
        places: (n, d) settings in the unit cube; d may be 0.
        steps: (n,) octaves of their steps, 0 at the last.
        trainings: (n,) numbers; equal ones are one training at several steps.
    """

    places: Array
    steps: Array
    trainings: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Scales:
    """How large the parts of a process are, and how far they reach.

    Attributes:
        signal, luck, error: standard deviations.
        lengths: (d,) along each parameter.
        step_length: along steps, in octaves.
    """

    signal: float
    lengths: Array
    step_length: float
    luck: float
    error: float

    @classmethod
    def from_logs(cls, logs: Array) -> Scales:
        """The inverse of the order in which they are fitted."""
        signal, *lengths, step_length, luck, error = np.exp(logs).tolist()
        return cls(signal, np.array(lengths), step_length, luck, error)

    @classmethod
    def expected(cls, dimensions: int) -> Scales:
        """The medians of the priors."""
        return cls.from_logs(_priors(dimensions)[0])


class Process:
    """A process that has seen `values` at `inputs`, under given scales."""

    def __init__(self, inputs: Inputs, values: Array, scales: Scales) -> None:
        self._inputs, self._scales = inputs, scales
        covariance = Pairs(inputs, inputs).covariance(scales)
        covariance[np.diag_indices(len(inputs))] += scales.error**2 + JITTER
        self._factor = cho_factor(covariance, lower=True, check_finite=False) if len(inputs) else None
        self._weights = cho_solve(self._factor, values) if self._factor else values

    def predict(self, inputs: Inputs) -> tuple[Array, Array]:
        """(n,) means and standard deviations of the models at `inputs`, the luck of their trainings included."""
        return self.predict_pairs(Pairs(inputs, self._inputs))

    def predict_pairs(self, pairs: Pairs) -> tuple[Array, Array]:
        """The same of pairs of inputs and those seen, which processes that saw the same inputs can share."""
        prior = self._scales.signal**2 + TREND**2 + self._scales.luck**2
        cross = pairs.covariance(self._scales)
        if self._factor is None:
            return np.zeros(len(cross)), np.full(len(cross), prior**0.5)
        explained = (solve_triangular(self._factor[0], cross.T, lower=True, check_finite=False) ** 2).sum(axis=0)
        return cross @ self._weights, np.sqrt(np.maximum(prior - explained, JITTER))


def fit_scales(inputs: Inputs, values: Array, *, max_iterations: int = 40) -> Scales:
    """The scales of which (n,) `values` at `inputs` leave most to believe; without any, the expected ones."""
    medians, widths = _priors(inputs.places.shape[1])
    if not len(inputs):
        return Scales.from_logs(medians)
    pairs, identity = Pairs(inputs, inputs), np.eye(len(values))

    def loss(logs: Array) -> tuple[float, Array]:
        """Negative log posterior, and its gradient."""
        scales = Scales.from_logs(logs)
        covariance = pairs.covariance(scales) + (scales.error**2 + JITTER) * identity
        factor = cho_factor(covariance, lower=True, check_finite=False)
        inverse = cho_solve(factor, identity, check_finite=False)
        weights = inverse @ values
        inner = inverse - np.outer(weights, weights)
        away = (logs - medians) / widths
        value = 0.5 * (values @ weights) + np.log(np.diag(factor[0])).sum() + 0.5 * (away @ away)
        slopes = np.array([0.5 * np.vdot(inner, slope) for slope in pairs.slopes(scales)])
        return float(value), slopes + away / widths

    bounds = [(middle - 4 * width, middle + 4 * width) for middle, width in zip(medians, widths, strict=True)]
    options = {"maxiter": max_iterations}
    return Scales.from_logs(minimize(loss, medians, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)


def _priors(dimensions: int) -> tuple[Array, Array]:
    """Logarithms of the medians, and log standard deviations, in the order in which scales are fitted."""
    table = np.array([SIGNAL, *([LENGTH] * dimensions), STEP_LENGTH, LUCK, ERROR])
    return np.log(table[:, 0]), table[:, 1]


class Pairs:
    """Two sets of inputs: the covariances of their models, and how these change with the logarithms of the scales."""

    def __init__(self, left: Inputs, right: Inputs) -> None:
        self._axes = [_squares(left.places[:, j], right.places[:, j]) for j in range(left.places.shape[1])]
        # Steps are few: what hangs on them is worked out once for each pair of different ones.
        steps, positions = np.unique(np.concatenate([left.steps, right.steps]), return_inverse=True)
        self._octaves, self._rows, self._columns = (
            _squares(steps, steps),
            positions[: len(left)],
            positions[len(left) :],
        )
        same = left.trainings[:, None] == right.trainings[None, :]
        self._trend = self._of_steps(TREND**2 * _matern(self._octaves / TREND_LENGTH**2))
        self._luck = same * self._of_steps(_matern(self._octaves / LUCK_LENGTH**2))

    def covariance(self, scales: Scales) -> Array:
        """(n, m), without the error of measuring."""
        worth = _matern(self._apart(scales))
        worth *= self._of_steps(scales.signal**2 * _matern(self._octaves / scales.step_length**2))
        worth += self._trend
        worth += scales.luck**2 * self._luck
        return worth

    def slopes(self, scales: Scales) -> list[Array]:
        """(n, n) derivatives of the covariance and the error's variance, in the order in which scales are fitted."""
        along, apart, variance = self._octaves / scales.step_length**2, self._apart(scales), scales.signal**2
        places, steps = _matern(apart), self._of_steps(_matern(along))
        return [
            2.0 * variance * places * steps,
            *(
                variance * _slope(apart) * steps * axis / length**2
                for axis, length in zip(self._axes, scales.lengths, strict=True)
            ),
            variance * places * self._of_steps(_slope(along) * along),
            2.0 * scales.luck**2 * self._luck,
            2.0 * scales.error**2 * np.eye(len(self._rows)),
        ]

    def _apart(self, scales: Scales) -> Array:
        """(n, m) squared distances in lengths."""
        found = np.zeros((len(self._rows), len(self._columns)))
        for axis, length in zip(self._axes, scales.lengths, strict=True):
            found += axis / length**2
        return found

    def _of_steps(self, table: Array) -> Array:
        """(n, m) of a table by different steps."""
        return table[self._rows[:, None], self._columns]


def _squares(left: Array, right: Array) -> Array:
    found: Array = (left[:, None] - right[None, :]) ** 2
    return found


def _matern(squared: Array) -> Array:
    """Matérn 5/2 correlation at squared distances in lengths."""
    distance = _ROOT5 * np.sqrt(squared)
    found: Array = (1.0 + distance + 5.0 / 3.0 * squared) * np.exp(-distance)
    return found


def _slope(squared: Array) -> Array:
    """How fast the correlation grows with the logarithm of a length, over that length's part of the distance."""
    distance = _ROOT5 * np.sqrt(squared)
    found: Array = 5.0 / 3.0 * (1.0 + distance) * np.exp(-distance)
    return found
