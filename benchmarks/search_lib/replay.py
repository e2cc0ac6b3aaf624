"""Replays every search over the record, seed by seed in several processes, and sums up what it took."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Final

import numpy as np
import optuna
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.search_lib.costs import Costs
from benchmarks.search_lib.plain_searches import grid
from benchmarks.search_lib.protocol import Search, Study
from benchmarks.search_lib.recorded import Record
from benchmarks.search_lib.simulator import World, simulate
from benchmarks.search_lib.truth import Truth
from benchmarks.search_lib.worth import anytime, goals_of
from registry import Registry
from tuning.goals import Constraint

SEARCHES: Final[Registry[type[Search]]] = Registry(
    "search",
    {
        "grid": "benchmarks.search_lib.plain_searches:GridSearch",
        "random": "benchmarks.search_lib.plain_searches:RandomSearch",
        "optuna": "benchmarks.search_lib.stock_searches:StockOptuna",
        "optuna_asha": "benchmarks.search_lib.stock_searches:StockOptunaASHA",
        "moasha": "benchmarks.search_lib.moasha_search:StockMOASHA",
        "ours": "benchmarks.search_lib.own_searches:OwnSearch",
        "ours_tpe": "benchmarks.search_lib.own_searches:OwnTPE",
        "ours_halving": "benchmarks.search_lib.own_searches:OwnHalving",
        "ours_halving_ladder": "benchmarks.search_lib.own_searches:OwnHalvingLadder",
        "ours_stopping": "benchmarks.search_lib.own_searches:OwnStopping",
        "ours_ladder": "benchmarks.search_lib.own_searches:OwnLadder",
    },
)
#: What the others are divided by.
SUBJECT: Final = "ours_ladder"
#: Shares of the best known hypervolume.
LEVELS: Final = (0.90, 0.95, 0.99)
#: The budget, in rows of a whole grid: one that has not reached a level by then counts as not reaching it.
GRIDS: Final = 2.0

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Replay:
    """All curves.

    Attributes:
        curves: search → one for each seed, (rows, share of the best known hypervolume) at every change.
        best: the best known hypervolume.
        budget: rows at which simulations end.
        workers: how many trials run at a time.
    """

    curves: dict[str, list[Curve]]
    best: float
    budget: float
    workers: int

    @property
    def num_seeds(self) -> int:
        """Seeds of each search."""
        return len(next(iter(self.curves.values())))


@dataclass(frozen=True)
class Need:
    """Rows that a search needs for a level: quartiles over seeds, infinite where not reached, and in how many it is."""

    search: str
    level: float
    quartiles: tuple[float, float, float]
    reached: int


def world_of(record: Record, truth: Truth, constraint: Constraint) -> tuple[World, Study]:
    """What searches run in, and what they are told of it."""
    header, goals = record.header, goals_of(record.header, constraint)
    world = World(truth, Costs.of(header, truth.methods), goals, header.rungs)
    return world, Study(truth.methods, header.rungs, goals, header.calibration)


def grid_rows(world: World, study: Study) -> float:
    """Rows of a whole grid."""
    evaluation = world.costs.evaluation(world.costs.full)
    return sum(world.costs.training(point.method, study.rungs[-1]) + evaluation for point in grid(study.methods))


def replay(world: World, study: Study, names: Sequence[str], num_seeds: int, workers: int, best: float) -> Replay:
    """Every search at every seed; ``best`` is the best known hypervolume."""
    budget = GRIDS * grid_rows(world, study)
    tasks = [(name, seed) for seed in range(num_seeds) for name in names]
    curves: dict[str, list[Curve]] = {name: [] for name in names}
    for (name, _), curve in zip(tasks, _all(tasks, (world, study, workers, budget)), strict=True):
        curves[name].append([(rows, value / best) for rows, value in curve])
    return Replay(curves, best, budget, workers)


Shared = tuple[World, Study, int, float]
_shared: list[Shared] = []


def _all(tasks: Sequence[tuple[str, int]], shared: Shared) -> Iterator[Curve]:
    """The tasks' curves, in their order, from as many processes as there are cores, at most."""
    processes = min(cpu_count() or 1, len(tasks))
    if processes == 1:
        _enter(*shared)
        yield from map(_one, tasks)
        return
    # Spawned, not forked: this process has threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_enter, initargs=shared) as pool:
        yield from pool.map(_one, tasks)


def _enter(world: World, study: Study, workers: int, budget: float) -> None:
    """What all tasks of a process share; on one thread, for there is a process for every core."""
    threadpool_limits(1)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    _shared[:] = [(world, study, workers, budget)]


def _one(task: tuple[str, int]) -> Curve:
    (world, study, workers, budget), (name, seed) = _shared[0], task
    return run(world, study, name, seed=seed, workers=workers, budget=budget)


def run(world: World, study: Study, name: str, *, seed: int, workers: int, budget: float) -> Curve:
    """One search at one seed: (rows, hypervolume) at every change."""
    with tempfile.TemporaryDirectory() as directory:
        search = SEARCHES[name](study, seed, Path(directory))
        return anytime(simulate(world, search, workers=workers, budget=budget, seed=seed), world.goals)


def rows_to(curve: Curve, level: float) -> float:
    """Rows after which a curve first is at a level; infinite where it never is."""
    return next((rows for rows, value in curve if value >= level), math.inf)


def needs(result: Replay) -> Iterator[Need]:
    """Of every search and level."""
    for search, curves in result.curves.items():
        for level in LEVELS:
            rows = sorted(rows_to(curve, level) for curve in curves)
            low, middle, high = (quantile(rows, share) for share in (0.25, 0.5, 0.75))
            yield Need(search, level, (low, middle, high), sum(map(math.isfinite, rows)))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values that may end in infinities: the mean of the two nearest where it falls between them."""
    position = share * (len(ordered) - 1)
    return (ordered[math.floor(position)] + ordered[math.ceil(position)]) / 2


def band(curves: Sequence[Curve], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, n) quartiles over seeds of the shares reached after so many ``rows`` (n,)."""
    values = []
    for curve in curves:
        times, shares = (np.array(column) for column in zip(*curve, strict=True))
        values.append(shares[np.searchsorted(times, rows, side="right") - 1])
    return np.asarray(np.quantile(np.array(values), (0.25, 0.5, 0.75), axis=0))
