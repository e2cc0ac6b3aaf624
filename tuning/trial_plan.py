"""Which trial is next: first the settings to start from, then what the sampler suggests, each once per repeat.

The plan keeps no state: it looks at which slots the trials of a study have taken. A trial that was lost in an
interruption frees its slot, so that its settings are run again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from search_spaces import MethodSpace
from search_spaces.space import Settings
from tuning.outcome import INTERRUPTED

SLOT: Final = "slot"


@dataclass(frozen=True)
class Slot:
    """One trial to be: a setting and a repeat.

    Args:
        group: ``start-3``, the fourth setting to start from, or ``sampled-3``, the fourth suggestion.
        repeat: in [0, repeats).
        method: None where the sampler chooses it.
        params: Optuna parameters, empty for a parameterless method; None where the sampler chooses them.
        seed: the training seed of a lost trial that is run again.
    """

    group: str
    repeat: int
    method: str | None = None
    params: Mapping[str, Any] | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """``<group>/<repeat>``, kept with the trial."""
        return f"{self.group}/{self.repeat}"


@dataclass(frozen=True)
class Start:
    """A setting to start from: a method and its Optuna parameters, those absent being sampled."""

    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class TrialPlan:
    """The order of a study's trials.

    Args:
        starts: settings to start from, tried in this order.
        sampling: whether any method has a free parameter, so that the sampler has something to suggest.
        num_trials: how many trials the study has in all.
        repeats: how often each setting is run, with other seeds.
    """

    starts: tuple[Start, ...]
    sampling: bool
    num_trials: int
    repeats: int

    def next_slot(self, trials: Iterable[FrozenTrial]) -> Slot | None:
        """The slot to fill next; None where the study has all of its trials."""
        taken: set[str] = set()
        first: dict[str, FrozenTrial] = {}
        for trial in trials:
            attrs = trial.user_attrs
            if SLOT in attrs and "config" in attrs:
                first.setdefault(attrs[SLOT], trial)
                if not _is_lost(trial):
                    taken.add(attrs[SLOT])
        if len(taken) >= self.num_trials:
            return None
        place = next((place for place in self._places() if f"{place[0]}/{place[1]}" not in taken), None)
        return None if place is None else self._slot(*place, first)

    def _places(self) -> Iterable[tuple[str, int]]:
        """Group and repeat of every slot in order, as many as trials where there is sampling."""
        for index in range(len(self.starts)):
            for repeat in range(self.repeats):
                yield f"start-{index}", repeat
        for index in range(self.num_trials if self.sampling else 0):
            for repeat in range(self.repeats):
                yield f"sampled-{index}", repeat

    def _slot(self, group: str, repeat: int, first: Mapping[str, FrozenTrial]) -> Slot:
        """The slot at a place; settings that were sampled before are repeated, a lost trial's with its seed."""
        lost = first.get(f"{group}/{repeat}")
        seed = None if lost is None else json.loads(lost.user_attrs["config"])["seed"]
        sampled = min(self._trials_of(group, first), key=lambda trial: trial.number, default=None)
        kind, _, index = group.partition("-")
        if kind == "start":
            start = self.starts[int(index)]
            return Slot(group, repeat, start.method, {**start.params, **(sampled.params if sampled else {})}, seed)
        if sampled is None:
            return Slot(group, repeat)
        return Slot(group, repeat, sampled.user_attrs["method"], dict(sampled.params), seed)

    def _trials_of(self, group: str, first: Mapping[str, FrozenTrial]) -> list[FrozenTrial]:
        names = [f"{group}/{repeat}" for repeat in range(self.repeats)]
        return [first[name] for name in names if name in first]


def _is_lost(trial: FrozenTrial) -> bool:
    return bool(trial.state == TrialState.FAIL and trial.user_attrs.get("reason") == INTERRUPTED)


def starting_points(
    spaces: Sequence[MethodSpace],
    settings: Iterable[Mapping[str, Any]],
    calibration: Settings,
    fixed: Settings,
) -> tuple[Start, ...]:
    """The settings to start from, and before them every method without a free parameter that they leave out.

    What is fixed replaces a setting's value; settings that have become equal by that are tried once.

    Args:
        spaces: those of the study's methods.
        settings: ``{"method": …, **settings}``.
        calibration: quantities measured on the study's model.
        fixed: values that replace a dimension.

    Raises:
        ValueError: a method is not among the study's, or a setting is not in its space.
    """
    by_method = {space.method: space for space in spaces}
    chosen = [_start(by_method, dict(entry), calibration, fixed) for entry in settings]
    named = {start.method for start in chosen}
    closed = [Start(s.method, {}) for s in spaces if not s.free_parameters(fixed) and s.method not in named]
    unique: list[Start] = []
    for start in (*closed, *chosen):
        if start not in unique:
            unique.append(start)
    return tuple(unique)


def _start(
    by_method: Mapping[str, MethodSpace], settings: dict[str, Any], calibration: Settings, fixed: Settings
) -> Start:
    method = settings.pop("method", None)
    if method not in by_method:
        raise ValueError(
            f"the method of an enqueued setting must be one of {', '.join(by_method)}, but got {method!r}; "
            "name one of the study's methods"
        )
    space = by_method[method]
    closed = {name for name in space.names if space.is_fixed(name, fixed)}
    return Start(method, space.to_optuna_params({k: v for k, v in settings.items() if k not in closed}, calibration))
