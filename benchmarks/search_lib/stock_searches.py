"""What comes with Ray, used as it is: OptunaSearch and ASHA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.search_lib.protocol import Proposal, Report, Search, Study, at_every_rung, at_the_end
from search_spaces import space_of

Space = Callable[[optuna.Trial], dict[str, Any]]


class StockOptuna(Search):
    """Ray's OptunaSearch with all its defaults (TPE), told both objectives at a trial's end, and no constraint."""

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        super().__init__(study, seed, directory)
        self.fractions = at_the_end(len(study.rungs))
        self._searcher = OptunaSearch(
            space=define_by_run(study.methods),
            metric=[objective.metric for objective in study.goals.objectives],
            mode=[objective.direction[:3] for objective in study.goals.objectives],
            seed=seed,
        )
        self._number = 0

    def suggest(self) -> Proposal | None:
        """What Optuna suggests; there is always something."""
        name = f"{self._number:05d}"
        self._number += 1
        config = self._searcher.suggest(name)
        method = config["method"]
        prefix = f"{method}."
        return Proposal(name, method, {k.removeprefix(prefix): v for k, v in config.items() if k.startswith(prefix)})

    def end(self, name: str, report: Report | None) -> None:
        """Tell Optuna."""
        self._searcher.on_trial_complete(name, result=report, error=report is None)


def define_by_run(methods: Sequence[str]) -> Space:
    """The methods' space as Ray's searcher takes a conditional one."""

    def space(trial: optuna.Trial) -> dict[str, Any]:
        chosen = space_of(trial.suggest_categorical("method", list(methods)))
        for parameter in chosen.parameters:
            trial.suggest_float(chosen.optuna_name(parameter), parameter.low, parameter.high, log=parameter.log)
        return {}

    return space


class StockOptunaASHA(StockOptuna):
    """The same under Ray's ASHA with its defaults, which looks at one metric: the first objective."""

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        super().__init__(study, seed, directory)
        self.fractions = at_every_rung(len(study.rungs))
        first = study.goals.objectives[0]
        self._scheduler = ASHAScheduler(
            "step", first.metric, first.direction[:3], max_t=study.rungs[-1], grace_period=study.rungs[0]
        )

    def suggest(self) -> Proposal | None:
        """What Optuna suggests."""
        proposal = super().suggest()
        if proposal is not None:
            self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=proposal.name))
        return proposal

    def goes_on(self, name: str, report: Report) -> bool:
        """As ASHA says."""
        return bool(
            self._scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), report) == TrialScheduler.CONTINUE
        )
