"""Who goes on at a rung: the order of its reports under constraints, and how many of them are let through.

Source: Schmucker et al., "Multi-objective Asynchronous Successive Halving", arXiv 2106.12639: reports are ordered by
non-dominated front, and inside of a front by an epsilon-net. Constraints come before fronts, as in
``tuning.ranking.constrained_ranks``.

A place is how many reports are better. It is not to be confused with the sorted indices of the reports, which are the
inverse permutation: taking those for places stops many of the reports that dominate their rung.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuning.ranking import constrained_ranks


def num_promoted(num_reports: int, reduction_factor: float) -> int:
    """How many of a rung's reports go on: one in `reduction_factor`, rounded down, but at least one.

    Rounded down, not up: among fewer than twice `reduction_factor` reports only the best one goes on, so that there a
    dominated one never does.
    """
    return max(1, int(num_reports // reduction_factor))


def places(values: ArrayLike, violation: ArrayLike) -> NDArray[np.int64]:
    """How many reports of a rung are better than each of them, whatever the order in which they are given.

    The order is that of ``constrained_ranks``. Infeasible reports of equal violation are ordered by non-dominated
    front, and every front by `epsilon_net_order` of its objectives, which are normalised over the rung.

    Args:
        values: (n, m) objectives, all minimised.
        violation: (n,) in [0, inf]; 0 is feasible.

    Returns:
        (n,) int64 in [0, n), 0 is best. Equal reports share the place of the first of them; those with an objective
        that is not finite, or a violation that is NaN, share the last one.

    Raises:
        ValueError: the shapes disagree, or a violation is negative.
    """
    rows, excess = np.asarray(values, dtype=np.float64), np.asarray(violation, dtype=np.float64)
    found = np.full(len(excess), len(excess) - 1, dtype=np.int64)
    if len(excess) == 0:
        return found
    known, unique, inverse, counts = _each_once(rows, excess)
    order = _order(unique[:, 1:], unique[:, 0])
    better = np.empty(len(unique), dtype=np.int64)
    better[order] = np.cumsum(counts[order]) - counts[order]
    found[known] = better[inverse]
    return found


def is_among_best(values: ArrayLike, violation: ArrayLike, position: int, count: int) -> bool:
    """Whether fewer than `count` reports are better than one of them: ``places(values, violation)[position] < count``.

    Orders no other front than the report's own, and that only where its place in it decides: at a rung of ten thousand
    reports a tenth of the work.

    Args:
        values: (n, m) objectives, all minimised.
        violation: (n,) in [0, inf]; 0 is feasible.
        position: which report, in [0, n).
        count: how many are to be among the best.

    Raises:
        ValueError: as `places`.
    """
    rows, excess = np.asarray(values, dtype=np.float64), np.asarray(violation, dtype=np.float64)
    known, unique, inverse, counts = _each_once(rows, excess)
    if not known[position]:
        return len(excess) <= count
    own = int(inverse[np.count_nonzero(known[:position])])
    ahead, front = _front_of(own, unique[:, 1:], unique[:, 0])
    better = int(counts[ahead].sum())
    if better >= count or better + int(counts[front].sum()) <= count:
        return better < count
    order = front[epsilon_net_order(_normalised(unique[:, 1:])[front])]
    before = order[: int(np.flatnonzero(order == own)[0])]
    return better + int(counts[before].sum()) < count


def epsilon_net_order(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of `points` (n, m), each next one the farthest (Euclidean) from those before it.

    Begins with the smallest sum, the compromise between the objectives; of equals the first. Any beginning of the order
    covers the whole front about as evenly as so few points can (Clarkson, "Nearest-neighbor searching and metric space
    dimensions", 2006).
    """
    order = np.empty(len(points), dtype=np.int64)
    columns = np.ascontiguousarray(points.T)
    distance = np.full(len(points), np.inf)  # squared, to the nearest of those chosen, which have -1
    for position in range(len(points)):
        chosen = int(distance.argmax()) if position else int(points.sum(axis=1).argmin())
        order[position] = chosen
        offset = columns - columns[:, chosen, None]
        np.minimum(distance, np.einsum("mn,mn->n", offset, offset), out=distance)
        distance[chosen] = -1.0
    return order


def _each_once(
    rows: NDArray[np.float64], excess: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Which reports are known, and of those the different ones, which of them each is, and how often it occurs.

    They are columns of violation and objectives, sorted, so that neither the order of arrival nor equal reports reach
    what is computed.
    """
    known = np.isfinite(rows).all(axis=1) & ~np.isnan(excess)
    unique, inverse, counts = np.unique(
        np.column_stack([excess, rows])[known], axis=0, return_inverse=True, return_counts=True
    )
    return known, unique, inverse.reshape(-1), counts


def _front_of(
    own: int, values: NDArray[np.float64], violation: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the rows on fronts before that of row `own`, and of those on it; both as in `_fronts`."""
    ranks = constrained_ranks(values, violation)
    ahead, front = np.flatnonzero(ranks < ranks[own]), np.flatnonzero(ranks == ranks[own])
    if violation[own] > 0 and len(front) > 1:
        inner = constrained_ranks(values[front], np.zeros(len(front)))
        level = inner[front == own][0]
        ahead, front = np.concatenate([ahead, front[inner < level]]), front[inner == level]
    return ahead, front


def _order(values: NDArray[np.float64], violation: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of different finite rows, best first."""
    points = _normalised(values)
    fronts = [front[epsilon_net_order(points[front])] for front in _fronts(values, violation)]
    return np.concatenate([np.empty(0, dtype=np.int64), *fronts])


def _fronts(values: NDArray[np.float64], violation: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Indices of the rows that nothing but the epsilon-net tells apart, best first."""
    for group in _groups(constrained_ranks(values, violation)):
        if violation[group[0]] > 0 and len(group) > 1:
            yield from (group[front] for front in _groups(constrained_ranks(values[group], np.zeros(len(group)))))
        else:
            yield group


def _groups(ranks: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Indices by rank, rising in each group."""
    order = np.argsort(ranks, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(ranks[order])) + 1) if len(ranks) else []


def _normalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`values` in [0, 1] in each objective; 0 where all are equal."""
    if len(values) == 0:
        return values
    halves = values / 2  # of which differences do not overflow
    low = halves.min(axis=0)
    width = halves.max(axis=0) - low
    scaled: NDArray[np.float64] = (halves - low) / np.where(width > 0, width, 1.0)
    return scaled
