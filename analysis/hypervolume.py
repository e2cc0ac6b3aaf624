"""How much of the way from the untouched model to the ideal a set of candidates covers.

Per objective the *gain* is (value − reference) / (ideal − reference): 0 at the untouched model, 1 at the ideal, in
either direction. The hypervolume of the gains (Zitzler and Thiele, 1998; computed by moocore) is what a front is worth
in one number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import moocore
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.table import numeric
from tuning.goals import Objective

Gains = NDArray[np.float64]


def gains(
    points: pd.DataFrame,
    objectives: Sequence[Objective],
    reference: Mapping[str, float],
    ideal: Mapping[str, float],
) -> Gains:
    """(n, m) gains, not clipped: 0 at `reference`, 1 at `ideal`, above 1 beyond it, NaN where not measured.

    Raises:
        KeyError: an objective is missing in the table, the reference or the ideal.
        ValueError: the ideal is not better than the reference in every objective.
    """
    return gains_of(numeric(points, [objective.metric for objective in objectives]), objectives, reference, ideal)


def gains_of(
    values: NDArray[np.float64],
    objectives: Sequence[Objective],
    reference: Mapping[str, float],
    ideal: Mapping[str, float],
) -> Gains:
    """`gains` of (n, m) values of the objectives, as they were measured.

    Raises:
        KeyError, ValueError: as `gains`.
    """
    names = [objective.metric for objective in objectives]
    origin = np.array([float(reference[name]) for name in names])
    width = np.array([float(ideal[name]) for name in names]) - origin
    for objective, start, step in zip(objectives, origin, width, strict=True):
        if not step * objective.sign < 0:
            raise ValueError(
                f"the ideal must be better than the reference where the study is to {objective}, but got reference "
                f"{start:g} and ideal {start + step:g}; measure both more closely, or give another ideal"
            )
    relative: Gains = (values - origin) / width
    return relative


def dominated_volume(relative: Gains) -> float:
    """The share of the unit box that (n, m) gains dominate, in [0, 1]; gains above 1 count as 1, NaN not at all."""
    clipped = np.minimum(relative, 1.0)
    rows = clipped[_counted(clipped)]
    return float(moocore.hypervolume(1.0 - rows, ref=np.ones(rows.shape[1]))) if len(rows) > 0 else 0.0


def _counted(clipped: Gains) -> NDArray[np.bool_]:
    """(n,) rows with all gains measured and above 0: the others span no volume."""
    return np.asarray(np.isfinite(clipped).all(axis=1) & (np.nan_to_num(clipped) > 0).all(axis=1))


def hypervolume(
    points: pd.DataFrame,
    objectives: Sequence[Objective],
    reference: Mapping[str, float],
    ideal: Mapping[str, float],
) -> float:
    """Normalised hypervolume: the share of the box from `reference` to `ideal` that `points` dominate.

    Args:
        points: one row a candidate; only feasible ones should be given.
        objectives: metrics and directions; columns of `points`.
        reference: metric → value of the untouched model.
        ideal: metric → value of the retrained model, or of what stands for it.

    Returns:
        In [0, 1], up is better. Values beyond the ideal count as the ideal; a point that is not better than the
        reference in every objective contributes 0, and so does one with a value that was not measured.

    Raises:
        KeyError: an objective is missing in the table, the reference or the ideal.
        ValueError: the ideal is not better than the reference in every objective.
    """
    return dominated_volume(gains(points, objectives, reference, ideal))
