"""A search without any training: made-up reports over the five methods' real spaces, and studies full of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces import SEARCH_SPACES
from tuning.goals import Constraint, Objective
from tuning.judging import Goals
from tuning.optuna_store import REPORT_PREFIX, open_study
from tuning.outcome import essence
from tuning.samplers import METHOD, Dimensions
from tuning.searcher import ConstrainedOptunaSearch
from tuning.trial_order import SLOT

METHODS: Final = ("siss", "siss_no_is", "erasediff", "naive_deletion", "neggrad")
CALIBRATION: Final = {"retain_gradient_norm": 200.0}
RUNGS: Final = (10, 20, 40, 80)
GOALS: Final = Goals(
    (Objective("sscd", "minimize"), Objective("nll", "maximize")),
    (Constraint("fid", "<=", 1.2, relative=True),),
    baseline={"sscd": 0.9, "nll": 3.0, "fid": 10.0},
    ideal={"sscd": 0.1, "nll": 6.0},
)
DIMENSIONS: Final = Dimensions.of([SEARCH_SPACES[method] for method in METHODS], {})


def make_search(storage: str | Path, num_trials: int, **changes: Any) -> ConstrainedOptunaSearch:
    """The searcher of a study over the five methods."""
    return ConstrainedOptunaSearch(
        methods=METHODS,
        objectives=GOALS.objectives,
        constraints=GOALS.constraints,
        baseline=GOALS.baseline,
        ideal=GOALS.ideal,
        calibration=CALIBRATION,
        storage=storage,
        study_name="scale",
        num_trials=num_trials,
        last_step=RUNGS[-1],
        **changes,
    )


def report(config: Mapping[str, Any], rung: int) -> dict[str, Any]:
    """What a trial measures at a rung: forgetting costs quality, and some settings of a method forget at less cost.

    A function of the configuration alone.
    """
    draw = np.random.default_rng([int(config["seed"]), rung])
    strength, skill = _traits(config)
    progress = (rung + 1) / len(RUNGS)
    forgotten = strength * progress + 0.03 * draw.normal()
    cost = forgotten**2 * (1.0 - 0.7 * skill) + 0.03 * abs(draw.normal())
    measured = {"sscd": 0.9 - 0.8 * forgotten, "nll": 3.0 + 3.0 * forgotten * skill, "fid": 10.0 + 6.0 * cost}
    return {"step": RUNGS[rung], "rung": rung, **measured}


def _traits(config: Mapping[str, Any]) -> tuple[float, float]:
    """How strongly a setting forgets, and how little that costs, each in [0, 1]."""
    space = SEARCH_SPACES[config["method"]]
    places = [
        (np.log(config[p.sampled_name] / p.low) / np.log(p.high / p.low))
        if p.log
        else (config[p.sampled_name] - p.low) / (p.high - p.low)
        for p in space.parameters
    ]
    position = np.asarray(places or [0.5])
    return float(np.clip(position[0], 0.0, 1.0)), float(1.0 - np.abs(position - 0.6).mean())


def made_up_trials(finished: int, running: int, seed: int = 0) -> list[FrozenTrial]:
    """Trials as the searcher leaves them in a storage, with settings drawn at random and four reports each."""
    rng = np.random.default_rng(seed)
    return [_trial(number, number < finished, rng) for number in range(finished + running)]


def _trial(number: int, complete: bool, rng: np.random.Generator) -> FrozenTrial:
    method = DIMENSIONS.methods[rng.integers(len(DIMENSIONS.methods))]
    dimensions = DIMENSIONS.by_method[method]
    params = {name: float(_draw(d, rng)) for name, d in dimensions.items()}
    space = SEARCH_SPACES[method]
    settings = space.resolve({n.partition(".")[2]: v for n, v in params.items()}, CALIBRATION, {})
    config = {"trial_id": f"{number:05d}", "method": method, **settings, "seed": number, "repeat": 0}
    reports = [report(config, rung) for rung in range(len(RUNGS))]
    kept = {f"{REPORT_PREFIX}{r['step']}": json.dumps(essence(r, GOALS)) for r in reports}
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE if complete else TrialState.RUNNING,
        values=list(GOALS.values(reports[-1])) if complete else None,
        constraints=GOALS.constraint_values(reports[-1]) if complete else None,
        params={METHOD: method, **params},
        distributions={METHOD: CategoricalDistribution(DIMENSIONS.methods), **dimensions},
        user_attrs={"method": method, SLOT: f"sampled-{number}/0", "config": json.dumps(config), **kept},
    )


def _draw(distribution: Any, rng: np.random.Generator) -> float:
    low, high = distribution.low, distribution.high
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if distribution.log else rng.uniform(low, high))


def filled_study(storage: str | Path, trials: list[FrozenTrial]) -> optuna.Study:
    """The searcher's study in a storage, with these trials in it."""
    study = open_study(storage, "scale", GOALS.objectives)
    study.add_trials(trials)
    return study
