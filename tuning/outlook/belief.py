"""What is believed of one method: how likely its models, trained or to be, keep the bounds and reach so far.

Every objective is taken as its gain (0 the untouched model, 1 the ideal) and every constraint as its excess over the
bound by the bound's size. Both are bent by an inverse hyperbolic sine, which is straight where it matters and a
logarithm beyond: a model that is ruined a hundredfold tells no more than one that is ruined. A process
(`surrogate`) stands for each, as its difference to the untouched model, and they are taken for independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from tuning.outlook.surrogate import Array, Inputs, Pairs, Process, Scales, fit_scales

#: Where the straight part ends: half of the way to the ideal, a tenth of the bound.
GAIN_KNEE: Final = 0.5
EXCESS_KNEE: Final = 0.1
#: Beyond this excess nothing is told apart.
LARGEST_EXCESS: Final = 10.0


def bent_gains(gains: Array) -> Array:
    """Gains as they are believed in; any shape."""
    return np.asarray(np.arcsinh(gains / GAIN_KNEE))


def bent_excesses(excesses: Array) -> Array:
    """Relative excesses as they are believed in; any shape, 0 the bound and at most 0 kept."""
    return np.asarray(np.arcsinh(np.minimum(excesses, LARGEST_EXCESS) / EXCESS_KNEE))


@dataclass(frozen=True)
class Seen:
    """What was measured of models.

    Attributes:
        inputs: of n models.
        gains: (n, m), an objective a column.
        excesses: (n, c), a constraint a column.
    """

    inputs: Inputs
    gains: Array
    excesses: Array

    def targets(self, untouched: Array) -> list[Array]:
        """(n,) for each process, objectives first; `untouched` are (c,) excesses of the untouched model."""
        excesses = bent_excesses(self.excesses) - bent_excesses(untouched)
        return [*bent_gains(self.gains).T, *excesses.T]


class Belief:
    """What is believed of a method after what was seen.

    Args:
        seen: of its models.
        scales: of each process, objectives first, as `fit` finds them.
        untouched: (c,) relative excesses of the untouched model.
    """

    def __init__(self, seen: Seen, scales: Sequence[Scales], untouched: Array) -> None:
        processes = [Process(seen.inputs, t, s) for t, s in zip(seen.targets(untouched), scales, strict=True)]
        self._gains, self._excesses = processes[: seen.gains.shape[1]], processes[seen.gains.shape[1] :]
        self._inputs, self._bounds = seen.inputs, -bent_excesses(untouched)

    @staticmethod
    def fit(seen: Seen, untouched: Array) -> list[Scales]:
        """The scales of each process, objectives first."""
        return [fit_scales(seen.inputs, target) for target in seen.targets(untouched)]

    def reach(self, inputs: Inputs, points: Array) -> Array:
        """How likely each model keeps all bounds and has at least the gains of each point.

        Π_c Φ((b_c − μ_c)/σ_c) · Π_j Φ((μ_j − z_j)/σ_j), b_c the bound and z_j a point's gain, both bent. Summed over
        the points that no other model reaches it is the expected hypervolume improvement under constraints, as of
        independent objectives (Emmerich et al. 2006; Gardner et al. 2014 for the constraints).

        Args:
            inputs: n models.
            points: (p, m) bent gains.

        Returns:
            (n, p) in [0, 1].
        """
        found, pairs = np.ones((len(inputs), 1)), Pairs(inputs, self._inputs)
        for process, bound in zip(self._excesses, self._bounds, strict=True):
            mean, deviation = process.predict_pairs(pairs)
            found = found * ndtr((bound - mean) / deviation)[:, None]
        for process, points_of in zip(self._gains, points.T, strict=True):
            mean, deviation = process.predict_pairs(pairs)
            found = found * ndtr((mean[:, None] - points_of) / deviation[:, None])
        return np.broadcast_to(found, (len(inputs), len(points)))
