"""The one identity of a trial: Ray trials that bear the Optuna number that the searcher gave them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.search_generator import SearchGenerator

from tuning.searcher import ConstrainedOptunaSearch

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = "out of memory"


class StudySearchGenerator(SearchGenerator):  # type: ignore[misc]
    """Makes Ray's trials from the searcher's suggestions, under the searcher's own ids.

    Hand it over as ``TuneConfig(search_alg=…)``. Leave ``TuneConfig.max_concurrent_trials`` at None: Ray ignores it for
    a search algorithm, and the limit is an argument here.

    Args:
        searcher: the search.
        max_concurrent: trials at a time, also how many may wait for a machine (without it Ray lets one wait, so that
            a cluster grows one worker at a time, and a suggestion is made one trial ahead of its turn).
        checkpoints: trial → checkpoint directory from which a trial that is handed out again goes on.
    """

    def __init__(
        self,
        searcher: ConstrainedOptunaSearch,
        max_concurrent: int | None = None,
        checkpoints: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(searcher if max_concurrent is None else ConcurrencyLimiter(searcher, max_concurrent))
        self._search = searcher
        self._checkpoints = dict(checkpoints or {})
        self._trials: dict[str, Trial] = {}

    @property
    def total_samples(self) -> int:
        """Trials of the study in all."""
        return self._search.num_trials

    def is_finished(self) -> bool:
        """Whether the searcher has handed out every trial, or Ray has called the search off."""
        return self._finished or self._search.is_finished()

    def create_trial_if_possible(self, experiment_spec: dict[str, Any]) -> Trial | None:
        """The next trial; None while the limit holds it back, and after the last."""
        suggested = self.searcher.suggest("")
        if suggested == Searcher.FINISHED:
            self._finished = True
            return None
        if suggested is None:
            return None
        return self._make_trial(experiment_spec, suggested)

    def _make_trial(self, experiment_spec: dict[str, Any], config: dict[str, Any]) -> Trial:
        spec = copy.deepcopy(experiment_spec)
        spec["config"] = {**spec.get("config", {}), **config}
        name = config["trial_id"]
        if name in self._checkpoints:
            spec["restore"] = self._checkpoints[name]
        trial = _create_trial_from_spec(spec, self._parser, evaluated_params=config, experiment_tag=name, trial_id=name)
        self._counter += 1
        self._trials[name] = trial
        return trial

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells the searcher, with the reason of a failure: Ray itself hands on only that there was one."""
        trial = self._trials.pop(trial_id, None)
        if error and trial is not None:
            self._search.note_failure(trial_id, failure_reason(trial.get_pickled_error()))
        super().on_trial_complete(trial_id, result=result, error=error)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trials": {}}


def failure_reason(error: BaseException | None) -> str:
    """Why a trial failed: the ``reason`` of the exception that it raised, ``out of memory`` or ``error``.

    Args:
        error: what Ray reports; the trial's own exception is looked for along its causes.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        reason = getattr(error, "reason", None)
        if isinstance(reason, str) and type(error).__name__ == "TrialFailure":
            return reason
        if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
            return OUT_OF_MEMORY
        error = getattr(error, "cause", None) or error.__cause__
    return "error"
