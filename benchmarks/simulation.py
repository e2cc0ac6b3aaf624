"""A study in simulated time: workers that take a made-up while for each rung, and all that hears of their reports."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from ray.tune.schedulers import TrialScheduler

from benchmarks.synthetic import GOALS, METHODS, RUNGS, make_search, report
from search_spaces import SEARCH_SPACES
from tuning.callback import StudyCallback
from tuning.files import StudyFiles
from tuning.records import Records
from tuning.scheduler import ParetoHalving

PARTS: Final = 10


@dataclass
class Part:
    """A stretch of the study.

    Attributes:
        until: trials that had ended by its end.
        seconds: wall-clock spent, by who spent it.
        trials: trials that ended in it.
        hypervolume: of the front at its end.
    """

    until: int = 0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    trials: int = 0
    hypervolume: float = 0.0

    def milliseconds(self, who: str) -> float:
        """For each trial that ended."""
        return 1e3 * self.seconds[who] / self.trials

    @property
    def total(self) -> float:
        """Milliseconds for each trial that ended, all together."""
        return sum(self.milliseconds(who) for who in self.seconds)

    @contextmanager
    def spent_by(self, who: str) -> Iterator[None]:
        """Charges a block's wall-clock to someone."""
        began = time.perf_counter()
        yield
        self.seconds[who] += time.perf_counter() - began


@dataclass
class SimulatedTrial:
    """As much of a Ray trial as the scheduler and the callback read."""

    config: dict[str, Any]
    rung: int = 0
    error_file: None = None

    @property
    def trial_id(self) -> str:
        """The searcher's id."""
        return str(self.config["trial_id"])

    @property
    def last_result(self) -> dict[str, Any]:
        """What the callback takes a trial's seconds from: one for each rung."""
        return {"time_total_s": float(self.rung)}


class Screen:
    """A terminal that keeps the last hypervolume it was shown."""

    hypervolume = 0.0

    def trials(self, running: int, done: int, failed: int, total: int, *, under_way: float = 0.0) -> None:
        """Nothing to show."""

    def front(self, rows: Any, hypervolume: float) -> None:
        """Keeps the value."""
        self.hypervolume = hypervolume

    def message(self, text: str) -> None:
        """Nothing to show."""


class Simulation:
    """A study over made-up reports: searcher, scheduler, records and callback are the real ones.

    Args:
        files: where it is kept.
        num_trials: trials in all.
        workers: trials at a time.
    """

    def __init__(self, files: StudyFiles, num_trials: int, workers: int) -> None:
        self.parts = [Part()]
        self._workers, self._part_size = workers, max(1, num_trials // PARTS)
        self._search = make_search(files.journal, num_trials)
        self._scheduler = ParetoHalving(GOALS.objectives, GOALS.constraints, rungs=RUNGS, baseline=GOALS.baseline)
        self._screen = Screen()
        self._callback = StudyCallback(
            _records(files), GOALS, num_trials=num_trials, view=self._screen, outcome=self._search.outcome
        )
        self._durations = np.random.default_rng(0)
        self._clock = 0.0
        self._events: list[tuple[float, str, SimulatedTrial]] = []

    def run(self) -> list[Part]:
        """From the first suggestion to the end of the last trial."""
        self._fill_workers()
        while self._events:
            self._clock, _, trial = heapq.heappop(self._events)
            self._report(trial)
            self._fill_workers()
        with self._part.spent_by("records"):
            self._callback.on_experiment_end([])
        return [part for part in self.parts if part.trials]

    @property
    def _part(self) -> Part:
        return self.parts[-1]

    def _fill_workers(self) -> None:
        while len(self._events) < self._workers:
            with self._part.spent_by("search"):
                config = self._search.suggest("")
            if not isinstance(config, dict):
                return
            trial = SimulatedTrial(config)
            with self._part.spent_by("records"):
                self._callback.on_trial_start(0, [], trial)
            self._schedule(trial)

    def _schedule(self, trial: SimulatedTrial) -> None:
        """The trial's next report, after a while that grows with the steps to it."""
        steps = RUNGS[trial.rung] - (RUNGS[trial.rung - 1] if trial.rung else 0)
        heapq.heappush(self._events, (self._clock + steps * self._durations.uniform(0.5, 1.5), trial.trial_id, trial))

    def _report(self, trial: SimulatedTrial) -> None:
        """In the order in which Ray tells of it."""
        result, last = report(trial.config, trial.rung), trial.rung == len(RUNGS) - 1
        with self._part.spent_by("records"):
            self._callback.on_trial_result(0, [], trial, result)
        with self._part.spent_by("scheduler"):
            decision = TrialScheduler.STOP if last else self._scheduler.on_trial_result(None, trial, result)
        trial.rung += 1
        if decision == TrialScheduler.STOP:
            self._end(trial, result)
            return
        with self._part.spent_by("search"):
            self._search.on_trial_result(trial.trial_id, result)
        self._schedule(trial)

    def _end(self, trial: SimulatedTrial, result: dict[str, Any]) -> None:
        with self._part.spent_by("search"):
            self._search.on_trial_complete(trial.trial_id, result)
        with self._part.spent_by("records"):
            self._callback.on_trial_complete(0, [], trial)
        part = self._part
        part.trials, part.until, part.hypervolume = part.trials + 1, part.until + 1, self._screen.hypervolume
        if part.trials == self._part_size:
            self.parts.append(Part(until=part.until))


def _records(files: StudyFiles) -> Records:
    names = [n for m in METHODS for p in SEARCH_SPACES[m].parameters for n in (p.name, p.sampled_name)]
    return Records(
        files,
        parameters=list(dict.fromkeys(names)),
        metrics=GOALS.metrics,
        constraints=GOALS.constraints,
        baseline=GOALS.baseline,
        suffixes=("",),
    )
