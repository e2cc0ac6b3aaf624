"""Runs a search at simulated time: every worker is busy for the rows of its next segment, then reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from benchmarks.search_lib.costs import Costs
from benchmarks.search_lib.noise import Draws, Spread
from benchmarks.search_lib.protocol import Proposal, Search
from benchmarks.search_lib.truth import METRICS, Truth
from benchmarks.search_lib.worth import Finding, bound_of
from tuning.judging import Goals


@dataclass(frozen=True)
class World:
    """What searches are run in.

    Attributes:
        truth: of every setting.
        costs: of training and measuring.
        goals: what reports are judged by.
        rungs: steps at which a trial may be measured.
    """

    truth: Truth
    costs: Costs
    goals: Goals
    rungs: Sequence[int]


def simulate(world: World, search: Search, *, workers: int, budget: float, seed: int) -> list[Finding]:
    """The reports of a search, by time.

    Args:
        world: what it searches in.
        search: fresh.
        workers: how many trials run at a time; each asks for the next as soon as its last has ended.
        budget: rows of all workers together; the simulation ends there. Time counts those, too: while it passes every
            worker is paid for.
        seed: of all noise; the n-th trial of every search draws the same.
    """
    found: list[Finding] = []
    queue: list[tuple[float, int, Iterator[float]]] = []
    order, numbers, clock = count(), count(), [0.0]
    for _ in range(workers):
        heappush(queue, (0.0, next(order), _work(world, search, found, numbers, seed, clock)))
    while queue:
        clock[0], _, worker = heappop(queue)
        if clock[0] > budget:
            break
        if (rows := next(worker, None)) is not None:
            heappush(queue, (clock[0] + workers * rows, next(order), worker))
    return found


def _work(
    world: World, search: Search, found: list[Finding], numbers: Iterator[int], seed: int, clock: Sequence[float]
) -> Iterator[float]:
    """What one worker does: yields the rows for which it is busy, and is gone on with when they are over."""
    while (proposal := search.suggest()) is not None:
        trial = _Trial(world, proposal, np.random.default_rng([seed, next(numbers)]))
        for rung, step in enumerate(world.rungs):
            rows = trial.train(rung)
            fraction = search.fractions[rung] if trial.alive(rung) else 0.0
            report: dict[str, Any] | None = None
            if fraction > 0.0:
                evaluation, report = trial.evaluate(rung, fraction, search.sequential)
                rows += evaluation
            yield rows
            if not trial.alive(rung):
                search.end(proposal.name, None)
                break
            if report is None:
                continue
            found.append(Finding(clock[0], report, trial.models[rung]))
            report = {**report, "step": step, "rung": rung, "training_iteration": rung + 1}
            if rung == len(world.rungs) - 1 or not search.goes_on(proposal.name, report):
                search.end(proposal.name, report)
                break


class _Trial:
    """One training: its models at the rungs that it reaches, by its settings and its own luck, and its draws."""

    def __init__(self, world: World, proposal: Proposal, rng: np.random.Generator) -> None:
        self._world, self._proposal, self._rng = world, proposal, rng
        truths = world.truth.reports(proposal.method, proposal.settings)
        luck = dict(zip(METRICS, rng.standard_normal(len(METRICS)), strict=True))
        self.models = [
            {metric: smooth[metric].noisy(truth[metric], luck[metric]) for metric in METRICS}
            for truth, smooth in zip(truths, world.truth.smooth[proposal.method], strict=False)
        ]
        nearest = world.truth.nearest(proposal.method, proposal.settings)
        self._draws = [
            Draws(values, Spread.of(report), rng) for values, report in zip(self.models, nearest.reports, strict=True)
        ]

    def alive(self, rung: int) -> bool:
        """Whether the training gets through to a rung; one that fails is paid for as far as the rung."""
        return rung < len(self.models)

    def train(self, rung: int) -> float:
        """Rows from the rung before."""
        before = self._world.rungs[rung - 1] if rung else 0
        return self._world.costs.training(self._proposal.method, self._world.rungs[rung] - before)

    def evaluate(self, rung: int, fraction: float, sequential: bool) -> tuple[float, dict[str, float]]:
        """Rows and measurements; with fewer images where these decide the constraint."""
        costs, draws = self._world.costs, self._draws[rung]
        counts = costs.full.scaled(fraction)
        if sequential:
            counts = counts.with_images(draws.enough_images(counts.images, bound_of(self._world.goals)))
        return costs.evaluation(counts), draws.measure(counts)
