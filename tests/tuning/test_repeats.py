"""Which settings are near the front, against a naive count; the search's means against the analysis'."""

from __future__ import annotations

import math
import random
from typing import Any

import pandas as pd
import pytest
from searches import BASELINE, DEFAULTS

from analysis.configurations import configurations
from tuning.judging import Goals
from tuning.repeats import Run, mean_reports, near_front

GOALS = Goals(DEFAULTS["objectives"], DEFAULTS["constraints"], BASELINE, DEFAULTS["ideal"])
NAN, INF = math.nan, math.inf


def report(sscd: float, nll: float, fid: float = 11.0, step: int = 10) -> dict[str, Any]:
    return {"step": step, "rung": 0, "sscd": sscd, "nll": nll, "fid": fid}


def random_settings(seed: int) -> dict[str, list[Run]]:
    draw = random.Random(seed)

    def value(low: int, high: int) -> float:
        return draw.choice([NAN, INF]) if draw.random() < 0.04 else float(draw.randint(low, high))

    def run() -> Run:
        steps = (10, 20)[: draw.randint(0, 2)]
        reports = [report(value(1, 9), value(1, 9), value(8, 13), step) for step in steps]
        return Run(reports, failed=draw.random() < 0.1)

    return {f"sampled-{n}": [run() for _ in range(draw.randint(0, 3))] for n in range(draw.randint(0, 14))}


def naive_near(settings: dict[str, list[Run]]) -> dict[str, int]:
    points: list[tuple[str, float, float]] = []
    for name, runs in settings.items():
        for step in (10, 20):
            found = [made for run in runs for made in run.reports if made["step"] == step]
            gone = any(run.failed and max((made["step"] for made in run.reports), default=0) < step for run in runs)
            if not found or gone:
                continue
            sscd, nll, fid = (sum(made[m] for made in found) / len(found) for m in ("sscd", "nll", "fid"))
            if fid <= 12 and math.isfinite(sscd) and math.isfinite(nll):
                points.append((name, sscd, -nll))
    ranks: dict[str, int] = {}
    for rank in (0, 1):
        front = [p for p in points if not any(q[1] <= p[1] and q[2] <= p[2] and q[1:] != p[1:] for q in points)]
        points = [p for p in points if p not in front]
        for name, *_ in front:
            if not any(run.failed for run in settings[name]):
                ranks.setdefault(name, rank)
    return ranks


@pytest.mark.parametrize("seed", range(60))
def test_near_the_front_is_the_first_two_ranks_of_feasible_means(seed: int) -> None:
    settings = random_settings(seed)
    assert near_front(settings, GOALS) == naive_near(settings)


@pytest.mark.parametrize("seed", range(20))
def test_means_are_those_of_the_analysis(seed: int) -> None:
    """What decides over a repeat is what stands in the front: both leave out what lies beyond a failure."""
    settings, rows, trials = random_settings(seed), [], []
    for name, runs in settings.items():
        for repeat, run in enumerate(runs):
            identity = {"trial_id": f"{len(trials):05d}", "method": name, "repeat": repeat, "seed": len(trials)}
            trials.append({**identity, "state": "FAIL" if run.failed else "COMPLETE"})
            rows += [{**identity, **made, "sscd_stderr": 0.1} for made in run.reports]
    columns = ["trial_id", "method", "step", "rung", "repeat", "seed", "sscd", "sscd_stderr", "nll", "fid"]
    table = configurations(pd.DataFrame(rows, columns=columns), pd.DataFrame(trials))
    for name, runs in settings.items():
        expected = table[table["method"] == name][["step", "sscd", "nll", "fid"]].to_dict("records")
        assert [pytest.approx(point, nan_ok=True) for point in expected] == mean_reports(runs, GOALS)


def test_a_mean_may_be_infeasible_where_a_run_was_not() -> None:
    lucky, other = Run([report(0.1, 6.0, 11.0)]), Run([report(0.1, 6.0, 15.0)])
    assert near_front({"a": [lucky]}, GOALS) == {"a": 0}
    assert near_front({"a": [lucky, other]}, GOALS) == {}


def test_nothing_was_run() -> None:
    assert near_front({}, GOALS) == near_front({"a": [], "b": [Run([], failed=True)]}, GOALS) == {}
