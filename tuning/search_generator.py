"""The one identity of a trial: Ray trials that bear the Optuna number that the searcher gave them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.search_generator import SearchGenerator
from ray.tune.utils import flatten_dict

from trainable.failure import failure_reason
from tuning.callback import error_text, has_ended
from tuning.searcher import ConstrainedOptunaSearch


class StudySearchGenerator(SearchGenerator):  # type: ignore[misc]
    """Makes Ray's trials from the searcher's suggestions, under the searcher's own ids.

    Hand it over as ``TuneConfig(search_alg=…)``. Leave ``TuneConfig.max_concurrent_trials`` at None: Ray ignores it for
    a search algorithm, and the limit is an argument here.

    Ray copies it and pickles it into ``tuner.pkl``, which nothing reads. It pickles as the study's name, and a copy of
    it is the process's own generator of that study: on a resume make both it and the searcher anew, and ``reconcile``.

    Args:
        searcher: the search.
        max_concurrent: trials at a time, also how many may wait for a machine (without it Ray lets one wait, so that
            a cluster grows one worker at a time, and a suggestion is made one trial ahead of its turn).
        checkpoint_of: trial → checkpoint from which it goes on when it is handed out again, if there is one.
        is_over: whether the time is over, so that no trial is handed out any more.
        takes_up: whether a trial that has just failed is handed out again.
    """

    _live: ClassVar[WeakValueDictionary[str, StudySearchGenerator]] = WeakValueDictionary()

    def __init__(
        self,
        searcher: ConstrainedOptunaSearch,
        max_concurrent: int | None = None,
        checkpoint_of: Callable[[str], Checkpoint | None] = lambda name: None,
        is_over: Callable[[], bool] = lambda: False,
        takes_up: Callable[[Trial], bool] = lambda trial: False,
    ) -> None:
        super().__init__(searcher if max_concurrent is None else ConcurrencyLimiter(searcher, max_concurrent))
        self._search = searcher
        self._checkpoint_of, self._is_over, self._takes_up = checkpoint_of, is_over, takes_up
        self._trials: dict[str, Trial] = {}
        self._live[searcher.study.study_name] = self

    def __reduce__(self) -> tuple[Callable[[str], StudySearchGenerator], tuple[str]]:
        return _live_generator, (self._search.study.study_name,)

    @property
    def total_samples(self) -> int:
        """Trials of the study in all."""
        return self._search.num_trials

    def is_finished(self) -> bool:
        """Whether the searcher has handed out every trial, the time is over, or Ray has called the search off."""
        return self._finished or self._is_over() or self._search.is_finished()

    def create_trial_if_possible(self, experiment_spec: dict[str, Any]) -> Trial | None:
        """The next trial; None while the limit holds it back, after the last, and when the time is over."""
        if self._is_over():
            return None
        suggested = self.searcher.suggest("")
        # What has been handed out may fail and come back: whether the search is finished is asked each time.
        if suggested is None or suggested == Searcher.FINISHED:
            return None
        return self._make_trial(experiment_spec, suggested)

    def _make_trial(self, experiment_spec: dict[str, Any], config: dict[str, Any]) -> Trial:
        spec = copy.deepcopy(experiment_spec)
        spec["config"] = {**spec.get("config", {}), **config}
        name = config["trial_id"]
        trial = _create_trial_from_spec(spec, self._parser, evaluated_params=config, experiment_tag=name, trial_id=name)
        checkpoint = self._checkpoint_of(name)
        if checkpoint is not None:
            # What Ray makes of a path to restore from, which it takes of this machine alone.
            trial._restore_checkpoint_result = _TrainingResult(checkpoint, metrics={})
            trial.storage.current_checkpoint_index = checkpoint_index(checkpoint.path)
        if trial.custom_dirname:  # Ray would make a new directory beside that of the trial's first start
            trial.relative_logdir = trial.storage.trial_dir_name = trial.custom_dirname
        self._counter += 1
        self._trials[name] = trial
        return trial

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells the searcher, with the reason of a failure: Ray itself hands on only that there was one.

        A failed trial that is taken up again is handed out once more, as after an interruption; the searcher hears
        nothing. Of a trial that was stopped before it started there is nothing to tell; it stays open, to be settled.
        """
        trial = self._trials.pop(trial_id, None)
        if error and trial is not None:
            self._on_trial_error(trial)
        elif result is not None or error:
            super().on_trial_complete(trial_id, result=result, error=error)

    def _on_trial_error(self, trial: Trial) -> None:
        # Ray would put off stopping a trial that is saving, and stop the next trial of this id in its place.
        trial.temporary_state.saving_to = None
        if has_ended(trial):
            super().on_trial_complete(trial.trial_id, result=flatten_dict(trial.last_result))
        elif self._takes_up(trial):
            self._search.hand_out_again(trial.trial_id)
        else:
            self._search.note_failure(trial.trial_id, failure_reason(error_text(trial)))
            super().on_trial_complete(trial.trial_id, error=True)


def checkpoint_index(checkpoint: str) -> int:
    """Ray's number of a checkpoint. The next ones count on from there: else they would take the place of older ones."""
    return int(checkpoint.rpartition("_")[2])


def _live_generator(study_name: str) -> StudySearchGenerator:
    """The process's generator of a study.

    Raises:
        RuntimeError: there is none.
    """
    generator = StudySearchGenerator._live.get(study_name)
    if generator is None:
        raise RuntimeError(
            f"the search of a study must exist in the process that unpickles it, but there is none of {study_name!r}; "
            "make its StudySearchGenerator first"
        )
    return generator
