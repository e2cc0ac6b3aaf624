"""The front once more, with seeds that no trial saw: what a search picks from noisy values looks better than it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.configurations import configuration_names, configurations, is_repeated, points_of
from analysis.front import hypervolume, pareto_front, violations
from analysis.table import rows
from metrics import flatten
from metrics.bootstrap import ratio_stderr
from metrics.metric import Measurement
from tuning.baseline import Measured
from tuning.constraints import RATIO, RATIO_STDERR
from tuning.judging import Goals
from tuning.ranking import constrained_ranks

#: (trial_id, step) pairs to what was measured of them: the columns of a report.
Measure = Callable[[Sequence[tuple[str, int]]], Sequence[Mapping[str, float]]]


def compared_columns(measurements: Mapping[str, Measurement], untouched: Mapping[str, Measured]) -> dict[str, float]:
    """A report's columns, and ``<metric>_ratio`` with its paired error where the untouched model's resamples pair.

    Args:
        measurements: of a candidate.
        untouched: of the untouched model, on the same seeds and at the same counts.
    """
    values = flatten(measurements)
    for metric, measured in measurements.items():
        other = untouched.get(metric)
        if other is not None and measured.replicates and other.value:
            values[metric + RATIO] = measured.value / other.value
            values[metric + RATIO_STDERR] = ratio_stderr(measured.replicates, other.replicates)
    return values


def confirmed_front(
    reports: pd.DataFrame,
    goals: Goals,
    reference: Mapping[str, float],
    measure: Measure,
    at_least: int = 1,
    trials: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The front of re-measured candidates: feasible and non-dominated by values that the search did not choose by.

    Feasible candidates are re-measured rank by rank, the front of the search first, until ``at_least`` are and one of
    them is still feasible. What is one rank behind by noisy values may well be ahead by better ones.

    Where settings were repeated, candidates are the points of configurations (``analysis.configurations``): every run
    of a chosen one is re-measured, and the means of these values decide.

    Args:
        reports: all candidate reports of the study.
        goals: what they were judged by during the search.
        reference: metric → value of the untouched model, at the fidelity and on the seeds of ``measure``.
        measure: measures candidates afresh.
        at_least: candidates to re-measure, where there are so many.
        trials: as in ``trials.csv``: which runs failed.

    Returns:
        Rows of ``reports`` with the new values, those of the search as ``<metric>_search``, and the new verdict; sorted
        by the first objective, best first. Empty where no candidate stays feasible. Of repeated settings the means,
        with ``<metric>_spread`` and ``num_repeats``; ``trial_id``, ``repeat`` and ``seed`` are those of the run whose
        model is taken home (`_taken_home`), and ``<metric>_checkpoint`` is what that model has by itself.
    """
    repeated = is_repeated(reports)
    points = points_of(reports, trials)
    names = configuration_names(reports) if repeated else reports["trial_id"]
    measured = front = reports.head(0)
    for chosen in _batches(points, goals, at_least):
        keys = pd.MultiIndex.from_frame(chosen[["trial_id", "step"]])
        runs = reports[pd.MultiIndex.from_arrays([names, reports["step"]]).isin(keys)]
        measured = pd.concat([measured, _renew(runs, goals, reference, measure)])
        candidates = configurations(measured) if repeated else measured
        front = pareto_front(candidates, goals.objectives, goals.constraints, reference)
        if not front.empty:
            break
    if repeated:
        front = _judged(_taken_home(front, measured, goals, reference), goals, reference)
    return front.reset_index(drop=True)


def _batches(reports: pd.DataFrame, goals: Goals, at_least: int) -> Iterator[pd.DataFrame]:
    """Feasible reports by rank: the first ranks that make ``at_least`` together, then rank by rank."""
    ranks = _feasible_ranks(reports, goals)
    gathered: list[int] = []
    for rank in sorted(set(ranks[ranks >= 0])):
        gathered.append(rank)
        chosen = reports[ranks.isin(gathered)]
        if len(chosen) >= at_least or rank == ranks.max():
            yield chosen
            gathered, at_least = [], 1


def _feasible_ranks(reports: pd.DataFrame, goals: Goals) -> pd.Series:
    """Rank of each feasible report, -1 of the others."""
    violation = violations(reports, goals.constraints, goals.baseline)
    values = np.column_stack([o.sign * reports[o.metric].to_numpy(dtype=np.float64) for o in goals.objectives])
    ranks = constrained_ranks(values, np.asarray(violation))
    usable = (np.asarray(violation) == 0) & np.isfinite(values).all(axis=1)
    return pd.Series(np.where(usable, ranks, -1), index=reports.index)


def _renew(chosen: pd.DataFrame, goals: Goals, reference: Mapping[str, float], measure: Measure) -> pd.DataFrame:
    keys = [(str(trial), int(step)) for trial, step in zip(chosen["trial_id"], chosen["step"], strict=True)]
    values = pd.DataFrame([dict(entry) for entry in measure(keys)], index=chosen.index)
    renewed = chosen.copy()
    for column in map(str, values.columns):
        if column in renewed and not column.endswith(("_stderr", "_num", "_spread")):
            renewed[f"{column}_search"] = renewed[column]
        renewed[column] = values[column]
    return _judged(renewed, goals, reference)


def _judged(table: pd.DataFrame, goals: Goals, reference: Mapping[str, float]) -> pd.DataFrame:
    excess = violations(table, goals.constraints, reference)
    return table.assign(violation=excess, feasible=excess == 0.0)


def _taken_home(
    front: pd.DataFrame, measured: pd.DataFrame, goals: Goals, reference: Mapping[str, float]
) -> pd.DataFrame:
    """`front` with the run of each member whose model is kept, and that model's own values.

    Of a member's runs it is the one of least violation, of those the one of the largest hypervolume by itself, of
    equals the first.
    """
    names = configuration_names(measured) if len(front) else measured["trial_id"]
    best: list[dict[str, Any]] = []
    for member in rows(front):
        runs = measured[(names == member["trial_id"]) & (measured["step"] == member["step"])].sort_values("repeat")
        volumes = [hypervolume(runs.iloc[[n]], goals.objectives, reference, goals.ideal) for n in range(len(runs))]
        taken = rows(runs)[int(np.lexsort([-np.array(volumes), runs["violation"]])[0])]
        own = {f"{metric}_checkpoint": taken[metric] for metric in goals.metrics}
        best.append({name: taken[name] for name in ("trial_id", "repeat", "seed")} | own)
    columns = ["trial_id", "repeat", "seed", *(f"{metric}_checkpoint" for metric in goals.metrics)]
    return front.assign(**{name: [of[name] for of in best] for name in columns})
