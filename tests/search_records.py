"""Records made up for tests of the replay: a formula in the place of training."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.search_lib.configurations import Configuration, configurations
from benchmarks.search_lib.recorded import LOOKS, Distance, Header, Record, Report, Trial
from search_spaces import space_of
from search_spaces.ranges import fraction_of

RUNGS = (10, 20, 40)
NUM_DENOISINGS, NUM_PROBES = 8, 4


def made_up_record(num_trials: int = 30, failing: float = 2.0) -> Record:
    """The first configurations of the real record; those that forget by more than `failing` fail after a rung."""
    trials = [_trial(chosen, failing) for chosen in configurations()[:num_trials]]
    return Record(_header(), tuple(trials))


def forgotten(method: str, place: tuple[float, ...], step: int) -> float:
    """How much a setting forgets by a step."""
    return (0.3 + sum(place)) * math.sqrt(step / RUNGS[-1]) * (0.0 if method == "naive_deletion" else 0.5)


def values(method: str, place: tuple[float, ...], step: int) -> tuple[float, float, float]:
    """Its sscd, nll and fid; importance sampling forgets at a lower price."""
    amount = forgotten(method, place, step)
    price = 2.0 if method == "siss" else 6.0
    return 0.9 - 0.7 * amount, 2.0 + 3.0 * amount, 10.0 + price * amount**2


def _trial(chosen: Configuration, failing: float) -> Trial:
    parameters = space_of(chosen.method).parameters
    place = tuple(fraction_of(parameter, chosen.settings[parameter.sampled_name]) for parameter in parameters)
    rng = np.random.default_rng(chosen.seed)
    steps = RUNGS if forgotten(chosen.method, place, RUNGS[-1]) <= failing else RUNGS[:1]
    reports = tuple(_report(step, values(chosen.method, place, step), rng) for step in steps)
    reason = "" if len(steps) == len(RUNGS) else "diverged"
    return Trial(chosen.name, chosen.method, dict(chosen.settings), chosen.seed, reports, reason)


def _report(step: int, truth: tuple[float, float, float], rng: np.random.Generator) -> Report:
    sscd, nll, fid = truth
    return Report(
        step,
        tuple(sscd + 0.02 * rng.standard_normal(NUM_DENOISINGS)),
        tuple(nll + 0.02 * rng.standard_normal(NUM_PROBES)),
        {count: Distance(fid + 100.0 / count, 4.0 / math.sqrt(count)) for count in LOOKS},
    )


def _header() -> Header:
    untouched = _report(0, values("siss", (-0.3,), 0), np.random.default_rng(0))
    return Header(
        command="made up",
        study="made up",
        rungs=RUNGS,
        batch_size=8,
        rows={"images": 1024, "denoisings": 64, "probes": 120},
        calibration={"retain_gradient_norm": 10.0},
        untouched=untouched,
        unseen_bits_per_dim=5.0,
        versions={},
    )
