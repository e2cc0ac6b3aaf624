"""Optuna samplers by name, made anew for every suggestion from a seed of its own.

What is suggested is then a function of (seed, slot, trials known) alone: a study that was resumed goes on as the
uninterrupted one would have.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from search_spaces import MethodSpace
from tuning.outlook import Outlook

METHOD: Final = "method"

#: Share of children whose method is drawn afresh instead of inherited.
METHOD_MUTATION: Final = 0.1


@dataclass(frozen=True)
class Dimensions:
    """What is sampled: the methods that have free parameters, and those parameters' distributions by Optuna name."""

    by_method: Mapping[str, Mapping[str, FloatDistribution]]

    @classmethod
    def of(cls, spaces: Sequence[MethodSpace], fixed: Mapping[str, float]) -> Dimensions:
        """The dimensions that ``fixed`` leaves open."""
        return cls(
            {
                space.method: {
                    space.optuna_name(p): FloatDistribution(p.low, p.high, log=p.log)
                    for p in space.free_parameters(fixed)
                }
                for space in spaces
                if space.free_parameters(fixed)
            }
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods to choose among; the choice is a dimension only where there is more than one."""
        return tuple(self.by_method)

    def open_names(self, method: str | None) -> frozenset[str]:
        """The dimensions of one method; None: of all, and the choice of the method."""
        return frozenset(self.union if method is None else self.by_method.get(method, {}))

    @property
    def union(self) -> dict[str, BaseDistribution]:
        """Every dimension of every method, and the choice of the method."""
        choice: dict[str, BaseDistribution] = (
            {METHOD: CategoricalDistribution(self.methods)} if len(self.methods) > 1 else {}
        )
        return {**choice, **{name: d for group in self.by_method.values() for name, d in group.items()}}


class ConditionalTPE(TPESampler):  # type: ignore[misc]
    """Multivariate TPE over a conditional space: the method first, then that method's parameters.

    Optuna's ``group=True`` finds the same groups by going through all trials, and samples every method's parameters to
    use those of one.
    """

    def __init__(self, dimensions: Dimensions, *, seed: int) -> None:
        self._dimensions = dimensions
        super().__init__(seed=seed, multivariate=True, constant_liar=True)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every dimension; a trial then carries those of its own method."""
        return self._dimensions.union

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The method, where it is asked for, and its parameters; without it `search_space` is that of one method."""
        if METHOD not in search_space:
            return dict(super().sample_relative(study, trial, search_space))
        choice = super().sample_relative(study, trial, {METHOD: search_space[METHOD]})
        group = self._dimensions.by_method[choice[METHOD]] if choice else {}
        return {**choice, **super().sample_relative(study, trial, dict(group))}


class ExpectedImprovement(BaseSampler):  # type: ignore[misc]
    """What is expected to add most to the constrained front (`tuning.outlook`).

    At random where nothing is expected, as before the first report.
    """

    def __init__(self, dimensions: Dimensions, outlook: Outlook, *, seed: int) -> None:
        self._dimensions, self._outlook, self._seed = dimensions, outlook, seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every dimension; a trial then carries those of its own method."""
        return self._dimensions.union

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The method, where it is asked for, and its parameters. Of a method some of which are given, none."""
        methods = [name for name, group in self._dimensions.by_method.items() if group.keys() <= search_space.keys()]
        found = self._outlook.suggest(methods, self._seed) if methods else None
        return {} if found is None else {METHOD: found[0], **found[1]}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


class ConditionalNSGAII(NSGAIISampler):  # type: ignore[misc]
    """NSGA-II over a conditional space: a child inherits the method of one parent, and mates within it.

    Optuna's own works on the parameters that *all* trials share, which here are none, and so samples at random.
    """

    def __init__(self, dimensions: Dimensions, *, seed: int, population_size: int) -> None:
        self._dimensions = dimensions
        super().__init__(
            seed=seed,
            population_size=population_size,
            child_generation_strategy=MateWithinMethod(dimensions, np.random.RandomState(seed)),
        )

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every dimension; a child then carries those of its own method."""
        return self._dimensions.union

    @classmethod
    def founder(cls, trial: FrozenTrial) -> FrozenTrial:
        """A copy of a trial of another study that belongs to the first generation, so that it may become a parent."""
        founder = copy.copy(trial)
        founder.system_attrs = {**trial.system_attrs, cls._get_generation_key(): 0}
        return founder


@dataclass(frozen=True)
class MateWithinMethod:
    """A child's parameters from a parent population: uniform crossover of two parents of one method.

    Each parameter comes from either parent with probability 1/2 and is drawn afresh with probability 1/n; n counts the
    method's parameters and the choice of the method (the crossover and mutation of Optuna's NSGA-II).
    """

    dimensions: Dimensions
    rng: np.random.RandomState

    def __call__(
        self, study: optuna.Study, search_space: dict[str, BaseDistribution], parents: list[FrozenTrial]
    ) -> dict[str, Any]:
        """The inherited parameters; what is left out is sampled at random."""
        groups = {method: self._parents_of(method, parents) for method in self.dimensions.methods}
        able = [(method, parent) for method, group in groups.items() for parent in group]
        if not able or self.rng.rand() < METHOD_MUTATION:
            return {}
        method = able[self.rng.randint(len(able))][0]
        mates = groups[method]
        pair = [mates[self.rng.randint(len(mates))] for _ in range(2)]
        names = self.dimensions.by_method[method]
        inherited = {name: pair[self.rng.randint(2)].params[name] for name in names}
        child = {name: value for name, value in inherited.items() if self.rng.rand() >= 1.0 / (len(names) + 1)}
        return {METHOD: method, **child} if METHOD in search_space else child

    def _parents_of(self, method: str, parents: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        names = self.dimensions.by_method[method].keys()
        return [parent for parent in parents if names <= parent.params.keys()]


def _ehvi(dimensions: Dimensions, seed: int, num_trials: int, outlook: Outlook) -> BaseSampler:
    return ExpectedImprovement(dimensions, outlook, seed=seed)


def _tpe(dimensions: Dimensions, seed: int, num_trials: int, outlook: Outlook) -> BaseSampler:
    return ConditionalTPE(dimensions, seed=seed)


def _nsga2(dimensions: Dimensions, seed: int, num_trials: int, outlook: Outlook) -> BaseSampler:
    # A generation has to finish before the next can learn from it: about five generations in the budget.
    return ConditionalNSGAII(dimensions, seed=seed, population_size=min(50, max(4, num_trials // 5)))


def _gp(dimensions: Dimensions, seed: int, num_trials: int, outlook: Outlook) -> BaseSampler:
    return GPSampler(seed=seed)


def _random(dimensions: Dimensions, seed: int, num_trials: int, outlook: Outlook) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS: Final[Mapping[str, Callable[[Dimensions, int, int, Outlook], BaseSampler]]] = {
    "ehvi": _ehvi,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
    "random": _random,
}


#: Samplers that need every finished trial; NSGA-II looks up its generations. To the others a sample is enough.
NEED_ALL: Final = frozenset({"nsga2"})
#: Samplers that look at no trial by themselves.
NEED_NONE: Final = frozenset({"ehvi", "random"})


def check_sampler(name: str, methods: Sequence[str]) -> None:
    """Refuses a sampler that is not known, or that cannot work on a space of these methods.

    Raises:
        ValueError: the name is unknown, or it is ``gp`` and there is more than one method.
    """
    if name not in SAMPLERS:
        raise ValueError(f"the sampler must be one of {', '.join(SAMPLERS)}, but got {name!r}; choose one of them")
    if name == "gp" and len(methods) != 1:
        raise ValueError(
            "the sampler 'gp' works within one method, since it knows no conditional parameters, "
            f"but got the methods {', '.join(methods)}; name one method, or choose 'ehvi'"
        )


def make_sampler(name: str, dimensions: Dimensions, outlook: Outlook, *, seed: int, num_trials: int) -> BaseSampler:
    """The sampler of that name, with the generator of one suggestion."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](dimensions, seed, num_trials, outlook)
