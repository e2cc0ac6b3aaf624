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

    def next_slot(self, trials: Sequence[FrozenTrial]) -> Slot | None:
        """The slot to fill next; None where the study has all of its trials."""
        taken = {trial.user_attrs[SLOT] for trial in trials if _holds_slot(trial)}
        if len(taken) >= self.num_trials:
            return None
        for slot in self._slots(trials):
            if slot.name not in taken:
                return slot
        return None

    def _slots(self, trials: Sequence[FrozenTrial]) -> Iterable[Slot]:
        """Every slot in order, endless where there is sampling; settings that were sampled before are repeated."""
        first: dict[str, FrozenTrial] = {}
        seeds: dict[str, int] = {}
        for trial in trials:
            if SLOT in trial.user_attrs and "config" in trial.user_attrs:
                config = json.loads(trial.user_attrs["config"])
                first.setdefault(trial.user_attrs[SLOT].partition("/")[0], trial)
                seeds.setdefault(trial.user_attrs[SLOT], config["seed"])
        for index, start in enumerate(self.starts):
            group = f"start-{index}"
            params = {**start.params, **(first[group].params if group in first else {})}
            for repeat in range(self.repeats):
                yield Slot(group, repeat, start.method, params, seeds.get(f"{group}/{repeat}"))
        for index in range(self.num_trials if self.sampling else 0):
            group = f"sampled-{index}"
            for repeat in range(self.repeats):
                seed = seeds.get(f"{group}/{repeat}")
                if group in first:
                    method = first[group].user_attrs["method"]
                    yield Slot(group, repeat, method, dict(first[group].params), seed)
                else:
                    yield Slot(group, repeat)


def _holds_slot(trial: FrozenTrial) -> bool:
    lost = trial.state == TrialState.FAIL and trial.user_attrs.get("reason") == INTERRUPTED
    return SLOT in trial.user_attrs and "config" in trial.user_attrs and not lost


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
