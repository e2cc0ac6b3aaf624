"""The search: Optuna asks and is told through Ray Tune's searcher interface, over a storage that outlives both.

Ray's own ``OptunaSearch`` knows no constraints, leaves a trial with a NaN objective running for ever and samples
parameterless methods over and over; hence this one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from ray.tune.search import Searcher

from diffusion.rng import derive_seed
from search_spaces import SEARCH_SPACES, MethodSpace, published_settings, space_of
from tuning.goals import Constraint, Objective
from tuning.history import SHOWN_TRIALS, check_known
from tuning.judging import Goals, Report
from tuning.optuna_store import StudyStore, config_of, directions_of, outcome_of, trial_name
from tuning.outcome import INTERRUPTED, Outcome, essence
from tuning.samplers import ConditionalNSGAII, Dimensions, check_sampler
from tuning.suggester import Suggester
from tuning.trial_memory import TrialMemory
from tuning.trial_order import SLOT, Slot, TrialOrder, Wait, starting_points


class ConstrainedOptunaSearch(Searcher):  # type: ignore[misc]
    """Constrained multi-objective search over the methods' conditional space, persistent and restartable.

    Suggestions are flat trial configurations: ``trial_id`` (the Optuna number as five digits), ``method``, its
    parameters, ``seed`` and ``repeat``. A trial is told COMPLETE with the report that stands for it and its constraint
    values, or FAIL with the user attribute ``reason``. Everything is kept in the Optuna storage: an instance made anew
    on the same storage goes on where the last one stopped, and ``reconcile`` settles what was running then. The storage
    is read when it is opened and only written from then on, by one instance at a time.

    Args:
        methods: registry names or ``package.module:Class``.
        objectives: metric and direction, at least one.
        constraints: bounds.
        baseline: metric → value of the untouched model.
        ideal: metric → value of the retrained model, or of what stands for it.
        calibration: quantities measured on the study's model, by calibration key.
        fix: values that replace a dimension in every method that has it.
        enqueue: settings to start from, ``{"method": …, **settings}``; None means the authors' own.
        storage: path of an Optuna journal, or the URL of a database.
        study_name: name of the Optuna study.
        sampler: ``ehvi``, ``tpe``, ``nsga2``, ``gp`` (one method only) or ``random``.
        seed: seed of the study; sampling and training seeds derive from it.
        num_trials: trials in all, repeats included.
        repeats: how often a setting near the front is run, with other training seeds.
        max_concurrent: trials at a time; None leaves it to Ray.
        last_step: the step at which a trial ends by itself; one that ends before it is marked ``stopped_at_rung``.
        spaces: method → space.
        known: completed trials of other studies, with this study's parameters, values and constraints, and ``method``
            as user attribute; they inform the sampler, and are otherwise no trials of this study.
        max_shown: finished trials that a sampler is shown at most, but for one that needs all; None: every one.

    Raises:
        ValueError: an argument breaks a rule; the message gives rule, value and remedy.
    """

    def __init__(
        self,
        *,
        methods: Sequence[str],
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        baseline: Mapping[str, float],
        ideal: Mapping[str, float],
        calibration: Mapping[str, float] | None = None,
        fix: Mapping[str, float] | None = None,
        enqueue: Sequence[Mapping[str, Any]] | None = None,
        storage: str | Path,
        study_name: str,
        sampler: str = "tpe",
        seed: int = 0,
        num_trials: int,
        repeats: int = 1,
        max_concurrent: int | None = None,
        last_step: int | None = None,
        spaces: Mapping[str, MethodSpace] = SEARCH_SPACES,
        known: Sequence[FrozenTrial] = (),
        max_shown: int | None = SHOWN_TRIALS,
    ) -> None:
        super().__init__()
        check_sampler(sampler, methods)
        self._spaces = {method: space_of(method, spaces) for method in methods}
        self._goals = Goals(tuple(objectives), tuple(constraints), dict(baseline), dict(ideal))
        directions_of(objectives)
        self._goals.check()
        self._calibration, self._fixed = dict(calibration or {}), dict(fix or {})
        self._check_values(num_trials, repeats)
        chosen = list(self._spaces.values())
        dimensions = Dimensions.of(chosen, self._fixed)
        self._suggester = Suggester(sampler, dimensions, seed, num_trials, max_shown)
        settings = published_settings(chosen) if enqueue is None else enqueue
        starts = starting_points(chosen, settings, self._calibration, self._fixed)
        self._order = TrialOrder(starts, bool(dimensions.methods), num_trials, repeats, self._goals)
        self._storage, self._study_name, self._seed = str(storage), study_name, seed
        self._known = tuple(map(ConditionalNSGAII.founder, known)) if sampler == "nsga2" else tuple(known)
        self._max_concurrent, self.last_step = max_concurrent, last_step
        self._live: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._again: list[str] = []
        self._peeked: list[Slot | Wait | None] = []
        self._outcomes: dict[str, Outcome] = {}
        check_known(self._known, len(objectives))
        self._trials  # noqa: B018  opened now, for its errors

    def _check_values(self, num_trials: int, repeats: int) -> None:
        if not 1 <= repeats <= num_trials:
            raise ValueError(
                f"1 <= repeats <= num_trials must hold, since every run of a setting is a trial, but got "
                f"repeats={repeats} and num_trials={num_trials}; raise num_trials"
            )
        for space in self._spaces.values():
            space.check_calibration(self._calibration, self._fixed)
        known = sorted({name for space in self._spaces.values() for name in space.names})
        if unknown := sorted(set(self._fixed) - set(known)):
            raise ValueError(f"a fixed name must be one of {', '.join(known)}, but got {', '.join(unknown)}; remove it")

    @cached_property
    def _trials(self) -> TrialMemory:
        """Read from the storage, and again after unpickling."""
        store = StudyStore(self._storage, self._study_name, self._goals.objectives)
        return TrialMemory(store, self._goals, self._known, self._suggester.dimensions)

    @property
    def _store(self) -> StudyStore:
        return self._trials.store

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        return self._store.study

    @property
    def num_trials(self) -> int:
        """Trials of the study in all."""
        return self._order.num_trials

    def is_finished(self) -> bool:
        """Whether every trial has been handed out."""
        return not self._again and self._next_slot() is None

    def running_trials(self) -> list[str]:
        """The trials that the storage holds as running: after an interruption, what ``reconcile`` has to settle."""
        return self._store.running()

    def _next_slot(self) -> Slot | Wait | None:
        """The slot to fill next, kept until something changes: Ray asks many times a second whether there is one."""
        if not self._peeked:
            self._peeked = [self._order.next_slot(self._store.trials())]
        return self._peeked[0]

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Takes up the limit of Ray's ``ConcurrencyLimiter``, which then hands everything through."""
        self._max_concurrent = max_concurrent
        return True

    # Asking

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration; ``Searcher.FINISHED`` after the last, None while it must wait.

        It waits while enough are running, and while one that runs decides whether what is next is a repeat.

        Args:
            trial_id: Ray's id, of no account: the trial's id is the configuration's ``trial_id``.
        """
        if self._max_concurrent is not None and len(self._live) >= self._max_concurrent:
            return None
        if self._again:
            name = self._again.pop(0)
            self._live.add(name)
            return config_of(self._store.trial(name))
        slot = self._next_slot()
        if isinstance(slot, Wait):
            return None
        return str(Searcher.FINISHED) if slot is None else self._start(slot)

    def _start(self, slot: Slot) -> dict[str, Any]:
        self._peeked = []
        trials, number = self._trials, len(self._store.trials())
        draft = self._suggester.draft(slot, trials, number)
        method = self._suggester.method_of(draft) if slot.method is None else slot.method
        settings = self._spaces[method].suggest(draft, self._calibration, self._fixed)
        seed = trial_seed(self._seed, number, slot.repeat) if slot.seed is None else slot.seed
        name = trial_name(number)
        config = {"trial_id": name, "method": method, **settings, "seed": seed, "repeat": slot.repeat}
        trials.create(draft.frozen({"method": method, SLOT: slot.name, "config": json.dumps(config)}))
        self._live.add(name)
        return config

    # Telling

    def note_failure(self, trial_id: str, reason: str) -> None:
        """Says why a trial fails, ahead of ``on_trial_complete(error=True)``, which Ray gives no reason."""
        self._reasons[trial_id] = reason

    def hand_out_again(self, trial_id: str) -> None:
        """A running trial lost its worker: it is suggested once more, before anything else."""
        self._live.discard(trial_id)
        self._again.append(trial_id)

    def on_trial_result(self, trial_id: str, result: Report) -> None:
        """Keeps a report with its trial; what is no report of the trainable (no step) is passed over."""
        if "step" in result and not self._store.trial(trial_id).state.is_finished():
            self._live.add(trial_id)
            self._trials.keep_report(trial_id, essence(result, self._goals))

    def on_trial_complete(self, trial_id: str, result: Report | None = None, error: bool = False) -> None:
        """Tells Optuna how the trial ended; once, however often it is called.

        Args:
            trial_id: the trial.
            result: its last report, which Ray hands over only here.
            error: whether it failed.
        """
        if result is not None:
            self.on_trial_result(trial_id, result)
        self._live.discard(trial_id)
        reason = self._reasons.pop(trial_id, "error") if error else None
        if not self._store.trial(trial_id).state.is_finished():
            self._tell(trial_id, reason)

    def is_worth_going_on(self, trial_id: str, report: Report) -> bool:
        """Whether a running trial with this new report promises as much as a new one would; see `tuning.outlook`.

        The report is not kept by this: it is told like any other.
        """
        return self._trials.is_worth_going_on(trial_id, essence(report, self._goals))

    def steps_told(self, trial_id: str) -> set[int]:
        """The steps of the reports that the storage has of a trial. A last one comes only with the trial's end."""
        return self._trials.steps(trial_id)

    def outcome(self, trial_id: str) -> Outcome | None:
        """How a trial ended, None where it runs; in full where this instance told it, else as far as it is kept."""
        return self._outcomes.get(trial_id) or outcome_of(self._store.trial(trial_id))

    def reconcile(
        self,
        finished: Mapping[str, Sequence[Report]],
        running: Iterable[str] = (),
        *,
        failed: Mapping[str, str] | None = None,
        again: Iterable[str] = (),
    ) -> None:
        """Settles, after an interruption, the trials that the storage still holds as running.

        Args:
            finished: trial → reports of trials that have come to their end; they are told by these.
            running: trials that go on, for instance restored by Ray; they stay as they are.
            failed: trial → reason of trials that have failed.
            again: trials to hand out once more, under their own id and configuration.

        All others are told FAIL with the reason ``interrupted``; their settings are run again as new trials.
        """
        open_trials, failures, asked_again = self._store.running(), dict(failed or {}), set(again)
        self._live = set(open_trials) & set(running)
        self._again = [name for name in open_trials if name in asked_again and name not in self._live]
        for name in open_trials:
            for report in finished.get(name, ()):
                self._trials.keep_report(name, essence(report, self._goals))
            if name not in self._live and name not in self._again:
                self._tell(name, failures.get(name, None if name in finished else INTERRUPTED))

    def _tell(self, name: str, reason: str | None) -> None:
        self._outcomes[name] = self._trials.tell(name, reason, self.last_step)
        self._peeked = []

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Ray saves its searcher, and this one has its state in the storage."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_trials"}


def trial_seed(seed: int, number: int, repeat: int) -> int:
    """The training seed of a trial, in [0, 2³¹): small enough for every table and generator."""
    return derive_seed(seed, "trial", number, "repeat", repeat) >> 32
