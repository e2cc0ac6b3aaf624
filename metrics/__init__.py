"""Metrics: pure functions of evidence, one file each, listed in METRICS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from registry import Registry

if TYPE_CHECKING:
    from metrics.evidence import Evidence
    from metrics.metric import Measurement, Metric

METRICS: Registry[type[Metric]] = Registry(
    "metric",
    {
        "nll": "metrics.nll:NegativeLogLikelihood",
        "sscd": "metrics.sscd:CopySimilarity",
        "fid": "metrics.fid:FrechetInceptionDistance",
        "inception_score": "metrics.inception_score:InceptionScore",
        "clip_iqa": "metrics.clip_iqa:ClipImageQuality",
        "sscd_original": "metrics.sscd_original:OriginalPromptSimilarity",
        "memorised_share": "metrics.memorised_share:MemorisedShare",
        "copied_share": "metrics.memorised_share:CopiedShare",
        "regeneration_rate": "metrics.regeneration_rate:RegenerationRate",
        "membership_loss": "metrics.membership_loss:MembershipLoss",
        "nll_neighbours": "metrics.neighbours:NeighbourLikelihood",
        "sscd_neighbours": "metrics.neighbours:NeighbourSimilarity",
    },
)


def measure(names: Iterable[str], evidence: Evidence) -> dict[str, Measurement]:
    """The metrics ``names`` of one model, each computed once, under the names they were asked for by and in that order.

    Evidence is made for the metrics asked for and no others; what a metric measures does not depend on the rest.

    Raises:
        KeyError: if a name is neither registered nor ``package.module:Class``.
    """
    chosen = {name: METRICS[name] for name in names}
    return {name: metric().compute(evidence) for name, metric in chosen.items()}


def flatten(measurements: Mapping[str, Measurement]) -> dict[str, float]:
    """Measurements as the columns of a report: ``{"nll": 4.2, "nll_stderr": 0.1, "nll_num": 4, …}``.

    ``<metric>_spread`` is there where the measurement has one.
    """
    columns: dict[str, float] = {}
    for name, measurement in measurements.items():
        columns[name] = measurement.value
        columns[f"{name}_stderr"] = measurement.stderr
        columns[f"{name}_num"] = measurement.num_samples
        if measurement.spread is not None:
            columns[f"{name}_spread"] = measurement.spread
    return columns


__all__ = ["METRICS", "flatten", "measure"]
