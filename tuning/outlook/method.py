"""One method's part of the outlook: its trainings, what is believed after them, and how far they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.stats import qmc

from tuning.history import spread, thinned
from tuning.outlook.belief import Belief, Seen
from tuning.outlook.surrogate import Array, Inputs, Scales
from tuning.outlook.training import Training

#: Measured trainings that a belief rests on at most, and those that its scales are fitted to.
SHOWN_TRAININGS: Final = 64
FITTED_TRAININGS: Final = 40
#: Running trainings that are reckoned one by one; of more, so many stand for all.
RUNNING_TRAININGS: Final = 64
#: Scales are fitted anew when so many times as many trainings have ended.
GROWTH: Final = 1.25
#: No model is taken to reach a point for more certain than one less this.
CERTAIN: Final = 1e-9
#: The number of a training that is none of a study's.
NEW: Final = np.iinfo(np.int64).min
#: Settings, evenly spread, among which the best is looked for.
NUM_CANDIDATES: Final = 64


class MethodOutlook:
    """A method's trainings, found and to come.

    Args:
        dimensions: its free parameters.
        points: (p, m) bent gains.
        untouched: (c,) relative excesses of the untouched model.
    """

    def __init__(self, dimensions: int, points: Array, untouched: Array) -> None:
        self._dimensions, self._points, self._untouched = dimensions, points, untouched
        self._trainings: dict[int, Training] = {}
        self._ended: list[int] = []  # in the order in which they ended
        self._running: set[int] = set()
        self._rungs: Sequence[float] = ()
        self._scales: list[Scales] = []
        self._fitted_to = -1
        self._places: Array = np.zeros((1, 0))
        if dimensions:
            self._places = qmc.Sobol(dimensions, scramble=True, seed=0).random(NUM_CANDIDATES)
        self._forget()

    def _forget(self) -> None:
        """Nothing that was worked out holds any more."""
        self._belief: Belief | None = None
        self._missed: dict[int, Array] = {}  # logarithms
        self._candidates: Array | None = None
        self._chosen: list[int] | None = None

    def put(self, training: Training) -> None:
        """A training that has begun, was measured or has ended."""
        number, before = training.number, self._trainings.get(training.number)
        self._trainings[number] = training
        ends = training.ended and (before is None or not before.ended)
        if ends:
            self._ended.append(number)
            self._running.discard(number)
        elif not training.ended:
            self._running.add(number)
        self._missed.pop(number, None)
        is_measured = training.steps != (before.steps if before else ())
        if is_measured or (ends and _milestone(len(self._ended)) != self._fitted_to):
            self._forget()

    def set_rungs(self, steps: Sequence[float]) -> None:
        """The steps at which models are measured, rising."""
        self._rungs, self._fitted_to = steps, -1
        self._forget()

    def training(self, number: int) -> Training:
        """The training of a trial."""
        return self._trainings[number]

    def best(self, left: Array) -> tuple[float, Array]:
        """The most that a new training of this method is worth among evenly spread settings, and where.

        Args:
            left: (p,) weights of the points that no model reaches.
        """
        if self._candidates is None:
            self._candidates = self._reach_of(self._places)
        worths = self._candidates @ left
        return float(worths.max()), self._places[int(worths.argmax())]

    def worths(self, places: Array, left: Array) -> Array:
        """(n,) what new trainings at (n, d) places are worth."""
        found: Array = self._reach_of(places) @ left
        return found

    def promise(self, number: int) -> tuple[Array, Array]:
        """(p,) how likely a running training reaches each point by what is behind it, and by what is before it."""
        training = self._trainings[number]
        coming = [step for step in self._rungs if step > training.steps[-1]]
        shown = self._shown()
        # Of many trainings not all are shown; one that is asked for knows its own reports in any case.
        belief = self._believed() if number in shown else self._belief_after([*shown, number])
        behind, before = self._reach(belief, [training, training], [training.steps, coming])
        return behind, before

    def log_left(self, but: int | None) -> Array:
        """(p,) logarithm of how likely no training of this method reaches a point, one of them left out."""
        ended = [number for number in self._shown() if number != but and self._trainings[number].ended]
        running = [number for number in sorted(self._running) if number != but]
        chosen = [running[position] for position in spread(np.arange(len(running)), RUNNING_TRAININGS)]
        self._work_out([*ended, *chosen])
        total = np.zeros(len(self._points))
        for number in ended:
            total += self._missed[number]
        weight = len(running) / max(1, len(chosen))
        for number in chosen:
            total += weight * self._missed[number]
        return total

    def _work_out(self, numbers: Sequence[int]) -> None:
        """How likely trainings miss each point: an ended one at the steps that it got to, a running one at all."""
        missing = [self._trainings[number] for number in numbers if number not in self._missed]
        spans = [training.steps if training.ended else self._rungs for training in missing]
        logs = np.log1p(-np.minimum(self._reach(self._believed(), missing, spans), 1.0 - CERTAIN))
        self._missed.update(zip((training.number for training in missing), logs, strict=True))

    def _reach(self, belief: Belief, trainings: Sequence[Training], spans: Sequence[Sequence[float]]) -> Array:
        """(n, p) by the best of each training's models at its steps in `spans`, which rise and fall together."""
        found = np.zeros((len(trainings), len(self._points)))
        able = [position for position, steps in enumerate(spans) if len(steps) > 0]
        if able:
            rows = [(trainings[position], step) for position in able for step in spans[position]]
            inputs = self._inputs(rows)
            starts = np.cumsum([0, *(len(spans[position]) for position in able[:-1])])
            found[able] = np.maximum.reduceat(belief.reach(inputs, self._points), starts, axis=0)
        return found

    def _reach_of(self, places: Array) -> Array:
        """(n, p) of new trainings at (n, d) places, by the best of their models."""
        count, rungs = len(places), len(self._rungs)
        octaves = np.tile(self._octaves(self._rungs), count)
        inputs = Inputs(np.repeat(places, rungs, axis=0), octaves, np.full(count * rungs, NEW))
        found: Array = self._believed().reach(inputs, self._points).reshape(count, rungs, -1).max(axis=1)
        return found

    def _octaves(self, steps: Sequence[float]) -> Array:
        return np.log2(np.clip(np.array(steps, dtype=np.float64), 1.0, self._rungs[-1]) / self._rungs[-1])

    def _believed(self) -> Belief:
        if self._belief is None:
            self._belief = self._belief_after(self._shown())
        return self._belief

    def _belief_after(self, numbers: Sequence[int]) -> Belief:
        return Belief(self._seen(numbers), self._fitted(), self._untouched)

    def _fitted(self) -> list[Scales]:
        """Scales by the trainings that had ended when there were `GROWTH` times as many as at the fit before."""
        milestone = _milestone(len(self._ended))
        if self._fitted_to != milestone:
            chosen = [self._ended[position] for position in spread(np.arange(milestone), FITTED_TRAININGS)]
            self._scales, self._fitted_to = Belief.fit(self._seen(chosen), self._untouched), milestone
        return self._scales

    def _shown(self) -> list[int]:
        """Numbers of the measured trainings that count: all, or the best and an even sample of the rest."""
        if self._chosen is None:
            self._chosen = self._choose()
        return self._chosen

    def _choose(self) -> list[int]:
        measured = [training for _, training in sorted(self._trainings.items()) if training.steps]
        if len(measured) > SHOWN_TRAININGS:
            values, violations = zip(*(training.standing for training in measured), strict=True)
            kept = thinned(np.array(values), np.array(violations), SHOWN_TRAININGS)
            measured = [measured[position] for position in kept]
        return [training.number for training in measured]

    def _seen(self, numbers: Sequence[int]) -> Seen:
        trainings = [self._trainings[number] for number in numbers]
        inputs = self._inputs([(training, step) for training in trainings for step in training.steps])
        gains = [row for training in trainings for row in training.gains]
        excesses = [row for training in trainings for row in training.excesses]
        return Seen(inputs, _table(gains, self._points.shape[1]), _table(excesses, len(self._untouched)))

    def _inputs(self, rows: Sequence[tuple[Training, float]]) -> Inputs:
        """Of models of trainings, each at a step."""
        places = _table([training.place for training, _ in rows], self._dimensions)
        octaves = self._octaves([step for _, step in rows])
        return Inputs(places, octaves, np.array([training.number for training, _ in rows], dtype=np.int64))


def _table(rows: Sequence[tuple[float, ...]], width: int) -> Array:
    """(n, width), also where one of the two is 0."""
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)


def _milestone(count: int) -> int:
    """The largest count up to this one at which scales are fitted."""
    found = 0
    while (following := max(found + 1, int(found * GROWTH))) <= count:
        found = following
    return found
