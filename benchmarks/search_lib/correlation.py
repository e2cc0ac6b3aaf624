"""How much cheap measurements say about dear ones: rank correlations over recorded trials, nothing smoothed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from benchmarks.search_lib.recorded import LOOKS, Record, Report
from benchmarks.search_lib.truth import METRICS

FRACTIONS: Final = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Correlation:
    """Spearman's of a metric at (step, fraction of fidelity) with full fidelity at the last rung, and at the same."""

    metric: str
    step: int
    fraction: float
    with_last: float
    with_same: float
    num_trials: int


def correlations(record: Record) -> Iterator[Correlation]:
    """Over the trials that got through all rungs."""
    whole = [trial for trial in record.trials if len(trial.reports) == len(record.header.rungs)]
    for metric in METRICS:
        last = [at_fraction(trial.reports[-1], 1.0)[metric] for trial in whole]
        for rung, step in enumerate(record.header.rungs):
            same = [at_fraction(trial.reports[rung], 1.0)[metric] for trial in whole]
            for fraction in FRACTIONS:
                cheap = [at_fraction(trial.reports[rung], fraction)[metric] for trial in whole]
                with_last, with_same = (float(spearmanr(cheap, dear).statistic) for dear in (last, same))
                yield Correlation(metric, step, fraction, with_last, with_same, len(whole))


def at_fraction(report: Report, fraction: float) -> dict[str, float]:
    """The metrics of a recorded report by its first draws; the distance of equally many images for all trials."""
    images = min(LOOKS, key=lambda count: abs(count - fraction * max(LOOKS)))
    return {
        "sscd": float(np.mean(_first(report.similarities, fraction))),
        "nll": float(np.mean(_first(report.bits_per_dim, fraction))),
        "fid": report.distances[images].value,
    }


def _first(draws: tuple[float, ...], fraction: float) -> tuple[float, ...]:
    return draws[: max(1, round(len(draws) * fraction))]
