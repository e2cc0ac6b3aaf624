"""What a sampler is shown of many trials: all of the good ones, and a fair sample of the rest."""

from __future__ import annotations

import random
from datetime import datetime

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers._tpe.sampler import _split_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuning.history import GOOD_TRIALS, History, check_known, thinned
from tuning.optuna_store import ENDED
from tuning.ranking import constrained_ranks
from tuning.trial_memory import _order_of_end

DIRECTIONS = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]


def make_trial(number: int, values: list[float] | None, excess: float = -1.0, fails: bool = False) -> FrozenTrial:
    """A complete trial; without values one that runs, or failed."""
    state = TrialState.COMPLETE if values else TrialState.FAIL if fails else TrialState.RUNNING
    trial = create_trial(
        state=state,
        values=values,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        constraints={"fid": excess} if values else None,
    )
    trial.number = trial._trial_id = number
    return trial


def random_trials(seed: int, count: int) -> list[FrozenTrial]:
    """A tenth runs, a tenth failed, half of the others are infeasible; values have equals."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        fate = rng.random()
        values = None if fate < 0.2 else [float(v) for v in rng.integers(0, 30, 2) / 30]
        made.append(make_trial(number, values, float(rng.normal()), fails=fate < 0.1))
    return made


def numbers(trials: list[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
@pytest.mark.parametrize("infeasible", [0.0, 0.5, 0.995])
def test_all_of_the_best_are_kept_and_the_rest_is_spread_evenly(num_objectives: int, infeasible: float) -> None:
    rng = np.random.default_rng(num_objectives)
    values = rng.random((2000, num_objectives))
    violation = np.where(rng.random(2000) < infeasible, rng.random(2000), 0.0)
    chosen = thinned(values, violation, 300)
    assert len(chosen) == 300
    assert (np.diff(chosen) > 0).all()
    ranks = constrained_ranks(values, violation)
    best = np.flatnonzero(ranks <= np.sort(ranks)[GOOD_TRIALS - 1])
    assert len(best) >= GOOD_TRIALS
    assert set(best) <= set(chosen)
    rest = np.setdiff1d(np.arange(2000), best)
    gaps = np.diff(np.flatnonzero(np.isin(rest, chosen)))
    assert gaps.max() - gaps.min() <= 1
    assert {rest[0], rest[-1]} <= set(chosen)


def test_of_a_front_too_large_a_sample_is_shown() -> None:
    line = np.linspace(0, 1, 1000)
    front = np.column_stack([line, -line])
    values = np.concatenate([front, front + 1.0])
    chosen = thinned(values, np.zeros(2000), 200)
    assert ((chosen < 1000).sum(), (chosen >= 1000).sum()) == (100, 100)


@pytest.mark.parametrize("seed", range(5))
def test_tpe_takes_the_same_trials_for_good_ones(seed: int) -> None:
    history = History(DIRECTIONS, random_trials(seed, 1200))
    study = optuna.create_study(directions=DIRECTIONS)
    whole, some = history.shown(None), history.shown(150)
    good, _ = _split_trials(study, whole, GOOD_TRIALS)
    still_good, others = _split_trials(study, some, GOOD_TRIALS)
    assert numbers(still_good) == numbers(good)
    running = {trial.number for trial in whole if trial.state == TrialState.RUNNING}
    assert running <= set(numbers(others))
    assert len(some) == 150 + len(running)


def test_what_is_shown_depends_on_the_trials_alone() -> None:
    trials = random_trials(7, 800)
    read = History(DIRECTIONS, trials)
    shuffled = trials.copy()
    random.Random(7).shuffle(shuffled)
    lived = History(DIRECTIONS, ())
    for trial in shuffled:
        lived.put(make_trial(trial.number, None))
        lived.shown(100)
        lived.put(trial)
    for limit in (None, 100, 5000):
        assert numbers(lived.shown(limit)) == numbers(read.shown(limit)) == sorted(numbers(read.shown(limit)))
    failed = {trial.number for trial in trials if trial.state == TrialState.FAIL}
    assert numbers(read.shown(None)) == [n for n in range(800) if n not in failed]


def test_known_trials_come_first_and_are_left_as_they_were() -> None:
    known = [make_trial(number, [0.1, 0.9]) for number in (5, 6)]
    history = History(DIRECTIONS, [make_trial(0, [0.5, 0.5]), make_trial(1, None)], known)
    assert numbers(history.shown(None)) == [-2, -1, 0, 1]
    assert numbers(known) == [5, 6]
    history.put(make_trial(1, [0.2, 0.2]))
    assert [trial.values for trial in history.shown(None)] == [[0.1, 0.9], [0.1, 0.9], [0.5, 0.5], [0.2, 0.2]]


@pytest.mark.parametrize("trial", [make_trial(0, None), make_trial(0, None, fails=True), make_trial(0, [0.5])])
def test_a_known_trial_must_be_complete_in_all_objectives(trial: FrozenTrial) -> None:
    with pytest.raises(ValueError, match="complete with 2 values"):
        check_known([make_trial(1, [0.1, 0.2]), trial], 2)


def test_trials_ended_in_the_order_of_their_count_whatever_the_clock_said() -> None:
    def ended(number: int, hour: int, before: int | None) -> FrozenTrial:
        trial = create_trial(value=1.0, system_attrs={} if before is None else {ENDED: before})
        trial.number, trial.datetime_complete = number, datetime(2026, 1, 1, hour)
        return trial

    running = create_trial(state=TrialState.RUNNING)
    running.number = 0
    trials = [running, ended(1, 9, 3), ended(2, 8, 4), ended(3, 11, None), ended(4, 10, None)]
    assert [trial.number for trial in sorted(trials, key=_order_of_end)] == [4, 3, 1, 2, 0]
