"""Whether a budget, of trials or of time, can hold a single setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from metrics.parts import NEEDS, are_of_samples
from tuning.problems import Problem

#: Fields that say how much one report costs, besides ``rungs``.
FIELDS: Final = (
    "accumulation", "forget", "forget_separately", "objectives", "constraints", "report_metrics", "num_images",
    "num_sampling_steps", "num_probes", "num_likelihood_evaluations", "evaluation_batch_size", "ladder",
    "bound_confidence",
)  # fmt: skip
#: Seconds that a network call takes at least: a denoising network of hundreds of kernels is no faster on any device.
SECONDS_PER_CALL: Final = 1e-3


def trials_problems(num_trials: int, repeats: int) -> list[Problem]:
    """Whether one setting can be run as often as it is to be repeated."""
    if num_trials >= repeats:
        return []
    rule = "num_trials must be at least repeats, since one setting takes that many trials"
    return [Problem(rule, f"{num_trials} and {repeats}", f"give --num-trials {repeats} or more, or lower repeats")]


def time_problems(time_budget: float | None, rungs: Sequence[int], *values: Any) -> list[Problem]:
    """Whether a trial can reach its first report in the time, on the fastest device that one can think of.

    Args:
        time_budget: seconds.
        rungs: as in the configuration.
        values: of `FIELDS`.
    """
    if time_budget is None:
        return []
    calls = least_calls(rungs, dict(zip(FIELDS, values, strict=True)))
    least = calls * SECONDS_PER_CALL
    if time_budget >= least:
        return []
    rule = f"time_budget must hold one report, at least {least:g}s: {calls} network calls of a millisecond or more each"
    remedy = "give more time, in hours rather than seconds, or let trials report earlier or measure less"
    return [Problem(rule, f"{time_budget:g}s", remedy)]


def least_calls(rungs: Sequence[int], settings: Mapping[str, Any]) -> int:
    """Network calls of a trial up to and in its first report, at least: what every method and workload needs.

    ``sets · (rung · accumulation + sampling steps · ⌈images / rows⌉ + likelihood evaluations · ⌈probes / rows⌉)``, the
    latter two where a registered metric needs them; sets are the forget images that are unlearned one at a time.

    Args:
        rungs: as in the configuration.
        settings: field of `FIELDS` → value.
    """
    goals = (*settings["objectives"], *settings["constraints"])
    asked = {*(goal.metric for goal in goals), *settings["report_metrics"]}
    known = [NEEDS[metric] for metric in asked if metric in NEEDS]
    rows = settings["evaluation_batch_size"]
    calls, part = rungs[0] * settings["accumulation"], (*settings["ladder"], 1.0)[0]
    # A bound may be decided by the first block of images already.
    images = 1 if settings["bound_confidence"] else part * settings["num_images"]
    if any(are_of_samples(needs) for needs in known):
        calls += settings["num_sampling_steps"] * math.ceil(images / rows)
    if any("forget_likelihood" in needs for needs in known):
        calls += settings["num_likelihood_evaluations"] * math.ceil(part * settings["num_probes"] / rows)
    return int(calls * (len(settings["forget"]) if settings["forget_separately"] else 1))
