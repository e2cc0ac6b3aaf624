"""Orders candidates by non-domination among the feasible, then by violation (Deb's constrained domination).

Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002, section VI; the sort itself is
moocore's.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def constrained_ranks(values: ArrayLike, violation: ArrayLike) -> NDArray[np.int64]:
    """Rank of each row: the feasible by non-dominated front, then the infeasible by total violation, then NaN.

    Args:
        values: (n, m) objectives, all minimised; infinities are ordinary values.
        violation: (n,) in [0, inf]; 0 is feasible, ``inf`` comes after everything finite.

    Returns:
        (n,) int64, 0 is best, without gaps. Equal rows share a rank, and so do infeasible rows of equal violation and
        all rows with a NaN in `values` or `violation`.

    Raises:
        ValueError: the shapes disagree, or a violation is negative.
    """
    rows, excess = np.asarray(values, dtype=np.float64), np.asarray(violation, dtype=np.float64)
    if excess.ndim != 1 or (len(excess) > 0 and (rows.ndim != 2 or len(rows) != len(excess))):
        raise ValueError(f"values must be (n, m) and violation (n,), but got shapes {rows.shape} and {excess.shape}")
    if (excess < 0).any():
        raise ValueError(f"a violation must be >= 0, but the smallest is {np.nanmin(excess)}")
    ranks = np.zeros(len(excess), dtype=np.int64)
    if len(excess) == 0:
        return ranks
    unknown = np.isnan(rows).any(axis=1) | np.isnan(excess)
    feasible = ~unknown & (excess == 0)
    infeasible = ~unknown & (excess > 0)
    next_rank = 0
    if feasible.any():
        ranks[feasible] = _front_numbers(rows[feasible])
        next_rank = int(ranks[feasible].max()) + 1
    if infeasible.any():
        levels, positions = np.unique(excess[infeasible], return_inverse=True)
        ranks[infeasible] = next_rank + positions
        next_rank += len(levels)
    ranks[unknown] = next_rank
    return ranks


def _front_numbers(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) number of the non-dominated front that each row of `rows` (n, m), minimised and free of NaN, lies on."""
    if rows.shape[1] == 1:
        return np.unique(rows[:, 0], return_inverse=True)[1].astype(np.int64)
    # Sorting compares positions only, so each column may be replaced by its order, which keeps infinities out.
    ordered = np.column_stack([np.unique(column, return_inverse=True)[1] for column in rows.T])
    return np.asarray(moocore.pareto_rank(ordered.astype(np.float64)), dtype=np.int64)
