"""Where a trial's time goes, in parts that somebody can do something about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

#: In the order of their columns. ``metrics``: what is computed of the evidence; ``pictures``: drawing and keeping them;
#: ``checkpoint``: weights and resume states; ``tracking``: writing and telling, which the worker waits for; ``idle``:
#: the rest from a trial's start to its end, as Ray's own work, starting a worker and waiting for the driver.
PARTS: Final = (
    "training", "sampling", "features", "nll", "sscd", "membership", "metrics", "pictures", "checkpoint", "tracking",
    "idle",
)  # fmt: skip
_OF_EVIDENCE: Final = {
    "samples": "sampling",
    "sample_features": "features",
    "sample_logits": "features",
    "sample_quality": "features",
    "forget_likelihood": "nll",
    "neighbour_likelihood": "nll",
    "membership_errors": "membership",
}
_COPIES: Final = "sscd"  # denoisings, and descriptors of whatever

#: Part → seconds.
Seconds = dict[str, float]


def added(profiles: Iterable[Mapping[str, float]]) -> Seconds:
    """The sum of each part."""
    total: Seconds = {}
    for profile in profiles:
        for part, seconds in profile.items():
            total[part] = total.get(part, 0.0) + seconds
    return total


def of_evaluation(evidence: Mapping[str, float], whole: float) -> Seconds:
    """An evaluation of ``whole`` seconds, by the seconds of each part of its evidence."""
    made = added({_OF_EVIDENCE.get(part, _COPIES): spent} for part, spent in evidence.items())
    return {**made, "metrics": max(0.0, whole - sum(evidence.values()))}
