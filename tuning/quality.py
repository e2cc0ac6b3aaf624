"""The bounds of a study as its trials keep them: in the metrics' own units, beside the untouched model."""

from __future__ import annotations

import math
from collections.abc import Mapping

from metrics.metric import Measurement
from metrics.sequential import Bound, looks
from trainable.plan import TrialPlan
from trainable.quality import QualityRule, Untouched, is_of_samples
from tuning.baseline import UNTOUCHED_SEARCH, Baseline, Measured
from tuning.constraints import bound_value
from tuning.schema import StudyConfig


def quality_rule(config: StudyConfig, baseline: Baseline) -> QualityRule:
    """What trials of a study measure and end by."""
    bounds = [Bound(c.metric, c.op, bound_value(c, baseline.search_reference)) for c in config.constraints]
    whole = {config.num_images: baseline.models.get(UNTOUCHED_SEARCH, {})}
    by_images = {count: _measurements(found) for count, found in {**baseline.blocks, **whole}.items()}
    judged_on_samples = any(is_of_samples(objective.metric) for objective in config.objectives)
    return QualityRule(
        bounds=tuple(bound for bound in bounds if math.isfinite(bound.value)),
        untouched=Untouched(by_images, baseline.variety, baseline.offsets),
        confidence=config.bound_confidence,
        max_violation=config.max_violation,
        # Under prompts the forget images are looked for among the samples.
        wants_samples=judged_on_samples or config.prompts is not None,
    )


def block_sizes(config: StudyConfig, plan: TrialPlan) -> list[int]:
    """Every number of images, but all of them, that a report may be measured on; rising."""
    rungs = [plan.fidelity_at(rung).num_images for rung in range(len(config.rungs))]
    counts = {count for number in rungs for count in (looks(number) if config.bound_confidence else (number,))}
    return sorted(counts - {config.num_images})


def as_measured(found: Mapping[str, Measurement]) -> dict[str, Measured]:
    """Measurements as the baseline keeps them."""
    return {name: Measured(m.value, m.stderr, m.num_samples, m.replicates) for name, m in found.items()}


def _measurements(found: Mapping[str, Measured]) -> dict[str, Measurement]:
    return {name: Measurement(m.value, m.stderr, m.num_samples, replicates=m.replicates) for name, m in found.items()}
