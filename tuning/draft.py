"""A trial in the making, sampled against trials that are shown to the sampler, before any storage hears of it.

Optuna's own ``ask`` writes a trial before it samples, reads every trial of the storage, and writes each parameter by
itself: too much for thousands of trials in a database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

#: In the names of attributes with which samplers of several processes tell each other of parameters not yet written.
RELATIVE: Final = ":relative_params:"


class View(InMemoryStorage):  # type: ignore[misc]
    """The storage of which a sampler believes that it holds the study.

    Args:
        directions: those of the study.
        study_attrs: what samplers have noted with the study.
        keep: told of what a sampler notes with the study from now on.
    """

    def __init__(
        self, directions: Sequence[StudyDirection], study_attrs: Mapping[str, Any], keep: Callable[[str, Any], None]
    ) -> None:
        super().__init__()
        self._study = self.create_new_study(directions, "view")
        for key, value in study_attrs.items():
            super().set_study_system_attr(self._study, key, value)
        self._keep = keep
        self._shown: Sequence[FrozenTrial] = ()
        self._noted: dict[str, Any] = {}

    def show(self, trials: Sequence[FrozenTrial], sampler: BaseSampler) -> tuple[optuna.Study, dict[str, Any]]:
        """The study as it is shown to one sampler, and what that will note with its trial.

        Args:
            trials: by number; read, never copied.
            sampler: the sampler.
        """
        self._shown, self._noted = trials, {}
        return optuna.load_study(study_name="view", storage=self, sampler=sampler), self._noted

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Collection[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials that are shown."""
        return [trial for trial in self._shown if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Taken down for the trial in the making; its parameters are not, which it has itself."""
        if RELATIVE not in key:
            self._noted[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Kept with the study."""
        super().set_study_system_attr(study_id, key, value)
        self._keep(key, value)


class Draft:
    """A trial's parameters as they are chosen, given ones as they are given.

    Args:
        sampler: the sampler, with the generator of this suggestion.
        view: what it sees.
        shown: the trials that it sees, by number.
        number: the trial's number to be.
        given: parameters that are not sampled.
        open_names: the parameters that can be asked for; others are not sampled in vain.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        view: View,
        shown: Sequence[FrozenTrial],
        *,
        number: int,
        given: Mapping[str, Any],
        open_names: Collection[str],
    ) -> None:
        self._sampler, self._given = sampler, given
        self._study, self._noted = view.show(shown, sampler)
        self._trial = optuna.trial.create_trial(state=TrialState.RUNNING)
        self._trial.number = number
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        sampler.before_trial(self._study, self._trial)
        space = sampler.infer_relative_search_space(self._study, self._trial)
        space = {name: d for name, d in space.items() if name in open_names and name not in given}
        self._relative: Mapping[str, Any] = sampler.sample_relative(self._study, self._trial, space)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """As ``optuna.Trial.suggest_float``."""
        return float(self._suggest(name, FloatDistribution(low, high, log=log)))

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """As ``optuna.Trial.suggest_categorical``."""
        return str(self._suggest(name, CategoricalDistribution(choices)))

    def frozen(self, user_attrs: Mapping[str, Any]) -> FrozenTrial:
        """The running trial with all that was suggested, for a storage to number."""
        return optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=self._params,
            distributions=self._distributions,
            user_attrs=dict(user_attrs),
            system_attrs=self._noted,
        )

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            self._params[name], self._distributions[name] = self._choose(name, distribution), distribution
        return self._params[name]

    def _choose(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._given:
            return self._given[name]
        if name in self._relative:
            return self._relative[name]
        return self._sampler.sample_independent(self._study, self._trial, name, distribution)
