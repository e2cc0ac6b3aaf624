"""Searches to test: made on a directory, and driven with reports that a formula gives, without any training."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.search import Searcher

from search_spaces import SEARCH_SPACES
from tuning.goals import Constraint, Objective
from tuning.searcher import ConstrainedOptunaSearch

METHODS = tuple(SEARCH_SPACES)
CALIBRATION = {"retain_gradient_norm": 200.0}
BASELINE = {"sscd": 0.9, "nll": 3.0, "fid": 10.0, "inception_score": 8.0}
DEFAULTS: Mapping[str, Any] = {
    "methods": METHODS,
    "objectives": (Objective("sscd", "minimize"), Objective("nll", "maximize")),
    "constraints": (Constraint("fid", "<=", 1.2, relative=True),),
    "baseline": BASELINE,
    "ideal": {"sscd": 0.1, "nll": 6.0},
    "calibration": CALIBRATION,
    "study_name": "study",
    "seed": 7,
    "num_trials": 12,
}
SETTINGS = {name for space in SEARCH_SPACES.values() for name in space.names}


def make_search(directory: Path, **changes: Any) -> ConstrainedOptunaSearch:
    return ConstrainedOptunaSearch(**{"storage": directory / "optuna.log", **DEFAULTS, **changes})


def report(step: int, sscd: float, nll: float, fid: float = 11.0, **more: Any) -> dict[str, Any]:
    return {"step": step, "rung": step // 10 - 1, "sscd": sscd, "nll": nll, "fid": fid, **more}


def reports_for(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two rungs of made-up measurements, a function of the trial's settings alone."""
    key = json.dumps({k: v for k, v in config.items() if k in SETTINGS | {"method", "seed"}}, sort_keys=True)
    draw = random.Random(key)
    return [report(step, draw.uniform(0.1, 0.9), draw.uniform(3, 6), draw.uniform(9, 15)) for step in (10, 20)]


def run_trial(search: ConstrainedOptunaSearch) -> dict[str, Any] | None:
    config = search.suggest("any")
    if config == Searcher.FINISHED:
        return None
    assert isinstance(config, dict)
    for made in reports_for(config):
        search.on_trial_result(config["trial_id"], made)
    search.on_trial_complete(config["trial_id"], reports_for(config)[-1])
    return config


def run_all(search: ConstrainedOptunaSearch, at_most: int = 1000) -> list[dict[str, Any]]:
    configs: list[dict[str, Any]] = []
    while len(configs) < at_most and (config := run_trial(search)) is not None:
        configs.append(config)
    return configs


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k in SETTINGS}


def told(search: ConstrainedOptunaSearch, name: str) -> FrozenTrial:
    return search.study.get_trials()[int(name)]


def start(search: ConstrainedOptunaSearch) -> str:
    config = search.suggest("any")
    assert isinstance(config, dict)
    return str(config["trial_id"])
