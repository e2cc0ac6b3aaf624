"""Which trial is next: the settings to start from, then what the sampler suggests, and repeats of what is good.

The plan keeps no state but what it has read of the trials: which slots they have taken, and the reports of those that
have ended. A trial that was lost in an interruption frees its slot, so that its settings are run again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from search_spaces import MethodSpace
from search_spaces.space import Settings
from tuning.judging import Goals
from tuning.optuna_store import config_of, reports_of
from tuning.outcome import INTERRUPTED
from tuning.repeats import Run, near_front

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


class Wait(Enum):
    """Said in the place of a slot: which trial is next depends on one that still runs."""

    WAIT = "wait"


@dataclass(frozen=True)
class _Place:
    """Where a trial belongs.

    Attributes:
        group, repeat: of its slot.
        seed: its training seed.
        lost: whether an interruption took it.
        run: what it ended with; None while it runs.
    """

    group: str
    repeat: int
    seed: int
    lost: bool
    run: Run | None

    @classmethod
    def of(cls, trial: FrozenTrial) -> _Place:
        """Reads the trial, which takes a while: once, when it has ended."""
        group, _, repeat = trial.user_attrs[SLOT].partition("/")
        run = Run(reports_of(trial), trial.state == TrialState.FAIL) if trial.state.is_finished() else None
        return cls(group, int(repeat), config_of(trial)["seed"], _is_lost(trial), run)


@dataclass
class _Setting:
    """What the trials say of one setting.

    Attributes:
        first: the trial that began it: its method and parameters.
        seeds: repeat → training seed, of every run that was started.
        taken: the repeats that run or have ended; those that were lost are in ``seeds`` only.
        running: numbers of the trials that run.
        ended: number of a trial → the run that it was.
    """

    first: FrozenTrial
    seeds: dict[int, int] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    running: set[int] = field(default_factory=set)
    ended: dict[int, Run] = field(default_factory=dict)

    def put(self, number: int, place: _Place) -> None:
        """A trial, when it has begun and again when it has ended."""
        self.seeds.setdefault(place.repeat, place.seed)
        ran = number in self.running
        self.running.discard(number)
        if place.lost:
            # One that was not seen running took no slot: another process had made it for one that was taken.
            self.taken -= {place.repeat} if ran else set()
            return
        self.taken.add(place.repeat)
        if place.run is None:
            self.running.add(number)
        else:
            self.ended[number] = place.run

    @property
    def runs(self) -> list[Run]:
        """Those that have ended, in the order of their trials: a mean must not depend on which ended first."""
        return [self.ended[number] for number in sorted(self.ended)]

    @property
    def lost(self) -> Collection[int]:
        """The repeats to run again."""
        return () if len(self.taken) == len(self.seeds) else set(self.seeds) - self.taken


@dataclass
class _Ledger:
    """The settings of a study's trials, of which each is read when it begins and when it ends, and not in between.

    Attributes:
        settings: group → what became of its runs, in the order in which they began.
    """

    settings: dict[str, _Setting] = field(default_factory=dict)
    _open: list[int] = field(default_factory=list)
    _num_read: int = 0

    def read(self, trials: Sequence[FrozenTrial]) -> dict[str, _Setting]:
        """The settings after what is new in ``trials``, all those of the study by number."""
        unread = [*self._open, *range(self._num_read, len(trials))]
        known, self._num_read = self._num_read, len(trials)
        self._open = [number for number in unread if not trials[number].state.is_finished()]
        for number in unread:
            if number >= known or trials[number].state.is_finished():
                self._put(trials[number])
        return self.settings

    def _put(self, trial: FrozenTrial) -> None:
        if SLOT not in trial.user_attrs or "config" not in trial.user_attrs:
            return
        place = _Place.of(trial)
        self.settings.setdefault(place.group, _Setting(trial)).put(trial.number, place)


@dataclass(frozen=True)
class TrialOrder:
    """The order of a study's trials.

    First what was lost, then the settings to start from, once each. From then on a setting near the front, by the mean
    of its runs so far, is run again before anything new is suggested, the best rank first and then the fewest runs.

    A new setting may come to deserve all of its repeats, and so may those that run. It is therefore started only while
    there are trials left for all of them; else its turn comes when what runs has ended and asks for no repeat.

    Args:
        starts: settings to start from, tried in this order.
        sampling: whether any method has a free parameter, so that the sampler has something to suggest.
        num_trials: how many trials the study has in all, repeats included.
        repeats: how often a setting near the front is run, with other seeds; the others are run once.
        goals: what is near the front.
    """

    starts: tuple[Start, ...]
    sampling: bool
    num_trials: int
    repeats: int
    goals: Goals
    _ledger: _Ledger = field(default_factory=_Ledger, init=False, repr=False, compare=False)

    def next_slot(self, trials: Sequence[FrozenTrial]) -> Slot | Wait | None:
        """The slot to fill next; ``WAIT`` where that is not known yet, None where the study has all of its trials.

        Args:
            trials: those of the study by number; at every call the same ones, and what has come since.
        """
        settings = self._ledger.read(trials)
        left = self.num_trials - sum(len(setting.taken) for setting in settings.values())
        if left <= 0:
            return None
        for group, setting in settings.items():
            if setting.lost:
                return self._run_of(group, min(setting.lost), setting)
        running = [setting for setting in settings.values() if setting.running]
        owed = sum(self.repeats - len(setting.taken) for setting in running if not _has_failed(setting))
        has_room = left - owed >= self.repeats
        new = self._new(settings)
        if new is not None and new.method is not None and has_room:
            return new
        if (repeat := self._repeat(settings)) is not None:
            return repeat
        if new is not None and (has_room or not running):
            return new
        return Wait.WAIT if running and self.repeats > 1 else None

    def _new(self, settings: Mapping[str, _Setting]) -> Slot | None:
        """The first run of a setting that was not tried: one to start from, else what the sampler suggests."""
        for index, start in enumerate(self.starts):
            if f"start-{index}" not in settings:
                return Slot(f"start-{index}", 0, start.method, start.params)
        sampled = (f"sampled-{index}" for index in range(self.num_trials if self.sampling else 0))
        return next((Slot(group, 0) for group in sampled if group not in settings), None)

    def _repeat(self, settings: Mapping[str, _Setting]) -> Slot | None:
        """Another run of a setting near the front."""
        if not any(setting.ended and len(setting.taken) < self.repeats for setting in settings.values()):
            return None
        ranks = near_front({group: setting.runs for group, setting in settings.items()}, self.goals)
        due = [group for group in ranks if len(settings[group].taken) < self.repeats]
        if not due:
            return None
        group = min(due, key=lambda name: (ranks[name], len(settings[name].taken)))
        return self._run_of(group, min(set(range(self.repeats)) - settings[group].taken), settings[group])

    def _run_of(self, group: str, repeat: int, setting: _Setting) -> Slot:
        """A run of a setting that was tried before, with a seed of its own unless it was lost."""
        params, seed = dict(setting.first.params), setting.seeds.get(repeat)
        kind, _, index = group.partition("-")
        if kind == "start":
            start = self.starts[int(index)]
            return Slot(group, repeat, start.method, {**start.params, **params}, seed)
        return Slot(group, repeat, setting.first.user_attrs["method"], params, seed)


def _has_failed(setting: _Setting) -> bool:
    return any(run.failed for run in setting.ended.values())


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
