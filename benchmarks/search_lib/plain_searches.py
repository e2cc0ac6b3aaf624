"""Searches that learn nothing: a grid and evenly drawn settings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.search_lib.protocol import Proposal, Search, Study, at_the_end
from benchmarks.search_lib.worth import net
from search_spaces import space_of
from search_spaces.ranges import value_at

VALUES_OF_A_GRID = 5


class GridSearch(Search):
    """Five values of each parameter, ends included, all of them, in random order."""

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        self.fractions = at_the_end(len(study.rungs))
        points = grid(study.methods)
        random.Random(seed).shuffle(points)
        self._points = iter(points)

    def suggest(self) -> Proposal | None:
        """The next point."""
        return next(self._points, None)


def grid(methods: Sequence[str]) -> list[Proposal]:
    """All points of the grid."""
    points = [(method, settings) for method in methods for settings in net(method, VALUES_OF_A_GRID)]
    return [Proposal(f"{number:05d}", *point) for number, point in enumerate(points)]


class RandomSearch(Search):
    """Methods evenly, then each parameter evenly over its range, as it is sampled."""

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        self.fractions = at_the_end(len(study.rungs))
        self._methods, self._rng, self._number = tuple(study.methods), random.Random(seed), 0

    def suggest(self) -> Proposal | None:
        """The next draw; there is always one."""
        method = self._rng.choice(self._methods)
        settings = {p.sampled_name: value_at(p, self._rng.random()) for p in space_of(method).parameters}
        self._number += 1
        return Proposal(f"{self._number - 1:05d}", method, settings)
