"""The front once more, with seeds that no trial saw: what a search picks from noisy values looks better than it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.front import pareto_front, violations
from metrics import flatten
from metrics.bootstrap import ratio_stderr
from metrics.metric import Measurement
from tuning.baseline import Measured
from tuning.constraints import RATIO, RATIO_STDERR
from tuning.outcome import Goals
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
    reports: pd.DataFrame, goals: Goals, reference: Mapping[str, float], measure: Measure, at_least: int = 1
) -> pd.DataFrame:
    """The front of re-measured candidates: feasible and non-dominated by values that the search did not choose by.

    Feasible candidates are re-measured rank by rank, the front of the search first, until ``at_least`` are and one of
    them is still feasible. What is one rank behind by noisy values may well be ahead by better ones.

    Args:
        reports: all candidate reports of the study.
        goals: what they were judged by during the search.
        reference: metric → value of the untouched model, at the fidelity and on the seeds of ``measure``.
        measure: measures candidates afresh.
        at_least: candidates to re-measure, where there are so many.

    Returns:
        Rows of ``reports`` with the new values, those of the search as ``<metric>_search``, and the new verdict; sorted
        by the first objective, best first. Empty where no candidate stays feasible.
    """
    measured = front = reports.head(0)
    for chosen in _batches(reports, goals, at_least):
        measured = pd.concat([measured, _renew(chosen, goals, reference, measure)])
        front = pareto_front(measured, goals.objectives, goals.constraints, reference)
        if not front.empty:
            break
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
    renewed["violation"] = violations(renewed, goals.constraints, reference)
    renewed["feasible"] = renewed["violation"] == 0.0
    return renewed
