"""The project's own search, as a study runs it: its real searcher and scheduler on a storage that is thrown away."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from benchmarks.search_lib.protocol import Proposal, Report, Search, Study, ladder
from search_spaces import space_of
from tuning.scheduler import ParetoHalving
from tuning.searcher import ConstrainedOptunaSearch
from tuning.stopping import ExpectedImprovementStopping

#: Arguments of the searcher besides those of a study's goals: the one place for what is to be compared.
SEARCHER: Final[Mapping[str, Any]] = {}
#: More trials than any budget pays for.
MANY: Final = 10_000


class OwnSearch(Search):
    """ConstrainedOptunaSearch from the authors' settings, a full evaluation at every rung, no scheduler."""

    sampler = "ehvi"

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        super().__init__(study, seed, directory)
        self._searcher = ConstrainedOptunaSearch(
            methods=study.methods,
            objectives=study.goals.objectives,
            constraints=study.goals.constraints,
            baseline=study.goals.baseline,
            ideal=study.goals.ideal,
            calibration=study.calibration,
            storage=directory / "optuna.log",
            study_name="replay",
            seed=seed,
            num_trials=MANY,
            last_step=study.rungs[-1],
            sampler=self.sampler,
            **SEARCHER,
        )

    def suggest(self) -> Proposal | None:
        """What the searcher suggests."""
        config = self._searcher.suggest("")
        if not isinstance(config, dict):
            if config == Searcher.FINISHED:
                return None
            raise RuntimeError(f"a searcher without a limit must suggest a configuration, but gave {config!r}")
        names = [parameter.sampled_name for parameter in space_of(config["method"]).parameters]
        return Proposal(config["trial_id"], config["method"], {name: config[name] for name in names})

    def goes_on(self, name: str, report: Report) -> bool:
        """Always; the searcher keeps the report."""
        self._searcher.on_trial_result(name, report)
        return True

    def end(self, name: str, report: Report | None) -> None:
        """Tell the searcher."""
        if report is None:
            self._searcher.note_failure(name, "diverged")
        self._searcher.on_trial_complete(name, report, error=report is None)


class OwnTPE(OwnSearch):
    """The same with Optuna's TPE as the sampler."""

    sampler = "tpe"


class Scheduled(OwnSearch):
    """OwnSearch under a scheduler."""

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        super().__init__(study, seed, directory)
        self._scheduler = self.scheduler(study)

    @abstractmethod
    def scheduler(self, study: Study) -> FIFOScheduler:
        """What stops trials."""

    def goes_on(self, name: str, report: Report) -> bool:
        """As the scheduler says; Ray tells a searcher a trial's last report with its end."""
        answer = self._scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), report)
        return answer == TrialScheduler.CONTINUE and super().goes_on(name, report)


class Laddered(Scheduled):
    """The same with fewer draws at lower rungs, and no more images than decide the constraint."""

    sequential = True

    def __init__(self, study: Study, seed: int, directory: Path) -> None:
        super().__init__(study, seed, directory)
        self.fractions = ladder(len(study.rungs))


class OwnHalving(Scheduled):
    """Under ParetoHalving with its defaults."""

    def scheduler(self, study: Study) -> FIFOScheduler:
        """By the study's goals."""
        goals = study.goals
        return ParetoHalving(goals.objectives, goals.constraints, rungs=study.rungs, baseline=goals.baseline)


class OwnHalvingLadder(OwnHalving, Laddered):
    """The same, laddered."""


class OwnStopping(Scheduled):
    """Under ExpectedImprovementStopping."""

    def scheduler(self, study: Study) -> FIFOScheduler:
        """By what the searcher expects."""
        return ExpectedImprovementStopping(self._searcher.is_worth_going_on)


class OwnLadder(OwnStopping, Laddered):
    """The same, laddered."""
