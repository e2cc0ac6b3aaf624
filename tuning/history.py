"""What the sampler knows: the finished trials, thinned where they are many, and the running ones.

It is kept in memory and made anew from the storage on a resume, so that a suggestion costs about the same after ten
thousand trials as after one thousand.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuning.judging import total_excess
from tuning.ranking import constrained_ranks

#: Finished trials that a sampler is shown at most.
SHOWN_TRIALS: Final = 1000
#: As many trials TPE takes for good ones, at most; a thinned history has them all, so that these are the same.
GOOD_TRIALS: Final = 25

Positions = NDArray[np.int64]


class History:
    """The trials of a study as its sampler is to see them, by number.

    Args:
        directions: those of the study.
        trials: its trials, by number.
        known: completed trials of other studies; they come before all of the study's own.
    """

    def __init__(
        self, directions: Sequence[StudyDirection], trials: Iterable[FrozenTrial], known: Sequence[FrozenTrial] = ()
    ) -> None:
        self._signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in directions])
        self._num_known = len(known)
        self._trials: dict[int, FrozenTrial] = {}
        self._running: set[int] = set()
        # Minimised objectives and violation by number, from that of the first known trial on; NaN: not complete.
        self._scores = np.full((0, len(self._signs) + 1), np.nan)
        for position, trial in enumerate(known):
            self.put(_renumbered(trial, position - len(known)))
        for trial in trials:
            self.put(trial)

    def put(self, trial: FrozenTrial) -> None:
        """A trial that is new, or has changed."""
        self._running.discard(trial.number)
        if trial.state == TrialState.RUNNING:
            self._running.add(trial.number)
        if trial.state in (TrialState.RUNNING, TrialState.COMPLETE):
            self._trials[trial.number] = trial
        if trial.state == TrialState.COMPLETE:
            self._score_row(trial.number)[:] = [*(self._signs * trial.values), _violation(trial)]

    def known(self) -> list[FrozenTrial]:
        """The trials of other studies, as they are numbered here."""
        return [self._trials[number] for number in range(-self._num_known, 0)]

    def shown(self, limit: int | None) -> list[FrozenTrial]:
        """Every running trial, and of the finished ones at most `limit`; None shows them all.

        Returns:
            By number, known ones first.
        """
        finished = np.flatnonzero(~np.isnan(self._scores[:, -1]))
        if limit is not None and len(finished) > limit:
            scores = self._scores[finished]
            finished = finished[thinned(scores[:, :-1], scores[:, -1], limit)]
        numbers = [*(finished - self._num_known).tolist(), *self._running]
        return [self._trials[number] for number in sorted(numbers)]

    def _score_row(self, number: int) -> NDArray[np.float64]:
        """The row of a trial, in a table that doubles when it is full."""
        row = number + self._num_known
        if row >= len(self._scores):
            more = np.full((max(row + 1, 2 * len(self._scores)) - len(self._scores), self._scores.shape[1]), np.nan)
            self._scores = np.vstack([self._scores, more])
        found: NDArray[np.float64] = self._scores[row]
        return found


def thinned(values: NDArray[np.float64], violation: NDArray[np.float64], limit: int) -> Positions:
    """Positions of `limit` rows: all of the best by `constrained_ranks`, and of the rest an evenly spread sample.

    The best are the first `GOOD_TRIALS` and whatever shares the rank of the last of them; where that rank would take
    more than half of `limit`, an evenly spread sample of it.

    Args:
        values: (n, m) minimised objectives, n > `limit`.
        violation: (n,) in [0, inf]; 0 is feasible.
        limit: more than twice `GOOD_TRIALS`.

    Returns:
        (limit,) rising; a function of the rows and their order alone.
    """
    ranks = constrained_ranks(values, violation)
    last = np.partition(ranks, GOOD_TRIALS - 1)[GOOD_TRIALS - 1]
    best, equals, rest = (np.flatnonzero(which) for which in (ranks < last, ranks == last, ranks > last))
    chosen = np.concatenate([best, spread(equals, limit // 2)])
    return np.sort(np.concatenate([chosen, spread(rest, limit - len(chosen))]))


def spread(positions: Positions, count: int) -> Positions:
    """At most `count` of `positions`, the first and the last among them, the others evenly between."""
    if len(positions) <= count:
        return positions
    return positions[np.linspace(0, len(positions) - 1, count).round().astype(np.int64)]


def _violation(trial: FrozenTrial) -> float:
    """As samplers add up a trial's constraints: 0 is feasible."""
    return total_excess(trial.constraints.values())


def _renumbered(trial: FrozenTrial, number: int) -> FrozenTrial:
    """A copy under a number below 0, which no trial of the study has, and as its identity the same."""
    known = copy.copy(trial)
    known.number = known._trial_id = number
    return known


def check_known(known: Iterable[FrozenTrial], num_objectives: int) -> None:
    """Whether known trials can be shown.

    Raises:
        ValueError: one is not complete, or has another number of values than the study has objectives.
    """
    for trial in known:
        if trial.state != TrialState.COMPLETE or len(trial.values) != num_objectives:
            raise ValueError(
                f"a known trial must be complete with {num_objectives} values, but got one that is "
                f"{trial.state.name} with {trial.values}; leave it out"
            )
