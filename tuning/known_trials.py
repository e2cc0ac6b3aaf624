"""Trials of other studies as the sampler sees them: finished Optuna trials in this study's parameters and units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces import MethodSpace
from tuning.judging import Goals
from tuning.samplers import METHOD, Dimensions
from tuning.transfer import KnownTrial, Transfer


def known_trials(
    transfers: Iterable[Transfer], goals: Goals, spaces: Sequence[MethodSpace], fixed: Mapping[str, float]
) -> list[FrozenTrial]:
    """Every trial that was taken, in order, COMPLETE; without a number, since none is this study's.

    An objective's value is untouched + gain × (ideal − untouched), in this study's untouched model and ideal.

    Args:
        transfers: what was taken of each study.
        goals: this study's.
        spaces: those of this study's methods.
        fixed: settings that are no dimension here.
    """
    dimensions = Dimensions.of(spaces, fixed)
    by_method = {space.method: space for space in spaces}
    return [
        _frozen(trial, goals, by_method[trial.method], dimensions, entry.study)
        for entry in transfers
        for trial in entry.trials
    ]


def _frozen(trial: KnownTrial, goals: Goals, space: MethodSpace, dimensions: Dimensions, study: str) -> FrozenTrial:
    own = dimensions.by_method.get(trial.method, {})
    names = {space.optuna_name(parameter): parameter.sampled_name for parameter in space.parameters}
    params: dict[str, str | float] = {name: trial.settings[names[name]] for name in own}
    distributions: dict[str, BaseDistribution] = dict(own)
    if own and METHOD in dimensions.union:
        params[METHOD], distributions[METHOD] = trial.method, dimensions.union[METHOD]
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        values=[_value(trial, goals, objective.metric) for objective in goals.objectives],
        params=params,
        distributions=distributions,
        constraints=dict(trial.constraints),
        user_attrs={"method": trial.method, "known_from": f"{study}, trial {trial.trial_id} at step {trial.step}"},
    )


def _value(trial: KnownTrial, goals: Goals, metric: str) -> float:
    untouched, ideal = goals.baseline[metric], goals.ideal[metric]
    return untouched + trial.gains[metric] * (ideal - untouched)
