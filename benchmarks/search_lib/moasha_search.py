"""Syne Tune's MOASHA, used as it is; `make bench-search` installs it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

from benchmarks.search_lib.plain_searches import RandomSearch
from benchmarks.search_lib.protocol import Proposal, Report, Study, at_every_rung


class StockMOASHA(RandomSearch):
    """Syne Tune's MOASHA with its defaults over evenly drawn settings, which is how it suggests; it minimises."""

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        super().__init__(study, seed, directory)
        self.fractions = at_every_rung(len(study.rungs))
        self._objectives = study.goals.objectives
        self._scheduler = MOASHA(
            {},
            metrics=[objective.metric for objective in study.goals.objectives],
            time_attr="step",
            max_t=study.rungs[-1],
            grace_period=study.rungs[0],
            random_seed=seed,
        )

    def suggest(self) -> Proposal | None:
        """The next draw."""
        proposal = super().suggest()
        if proposal is not None:
            self._scheduler.on_trial_add(SimpleNamespace(trial_id=proposal.name))
        return proposal

    def goes_on(self, name: str, report: Report) -> bool:
        """As MOASHA says."""
        signed = {objective.metric: objective.sign * report[objective.metric] for objective in self._objectives}
        answer = self._scheduler.on_trial_result(SimpleNamespace(trial_id=name), {**report, **signed})
        return bool(answer == SchedulerDecision.CONTINUE)
