"""What the simulator asks of a search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.judging import Goals

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Proposal:
    """A trial to run: its name in the search, its method, its sampled parameters (those with a scale as ratios)."""

    name: str
    method: str
    settings: Mapping[str, float]


@dataclass(frozen=True)
class Study:
    """What is searched.

    Attributes:
        methods: to choose from.
        rungs: steps at which a trial may be measured; it ends at the last one.
        goals: what reports are judged by.
        calibration: quantities that parameters are ratios to.
    """

    methods: Sequence[str]
    rungs: Sequence[int]
    goals: Goals
    calibration: Mapping[str, float]


class Search(ABC):
    """A search, asked and told one trial at a time; made from a study, a seed and an empty directory.

    Attributes:
        fractions: at each rung, of how many draws an evaluation is made, as a fraction of full fidelity; 0: none.
        sequential: whether an evaluation ends making images once they decide the constraint.
    """

    fractions: Sequence[float]
    sequential: bool = False

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        self.fractions = at_every_rung(len(study.rungs))

    @abstractmethod
    def suggest(self) -> Proposal | None:
        """The next trial, None after the last."""

    def goes_on(self, name: str, report: Report) -> bool:
        """Whether a trial goes on after a report at a rung that is not the last."""
        return True

    def end(self, name: str, report: Report | None) -> None:
        """A trial has ended with this report; with None it failed."""
        return


def at_the_end(num_rungs: int) -> tuple[float, ...]:
    """One full evaluation, at the last rung."""
    return (0.0,) * (num_rungs - 1) + (1.0,)


def at_every_rung(num_rungs: int) -> tuple[float, ...]:
    """A full evaluation at every rung."""
    return (1.0,) * num_rungs


def ladder(num_rungs: int) -> tuple[float, ...]:
    """Full fidelity at the last rung, half of it at the one before, and so on."""
    return tuple(0.5 ** (num_rungs - 1 - rung) for rung in range(num_rungs))
