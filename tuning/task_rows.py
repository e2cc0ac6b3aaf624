"""Network rows of the tasks that run once per study, before they run: what their progress is measured by."""

from __future__ import annotations

from dataclasses import replace

from metrics.expected import WITH_BACKWARD, Sizes, expected_rows
from metrics.subject import Fidelity
from trainable.plan import TrialPlan
from trainable.quality import is_of_samples
from tuning.measuring import NLL, calibration_steps
from tuning.schema import StudyConfig

#: Passes forward of a row of the batches that a calibration steps on: one of a retain image, one of a forget image.
_PASSES = 2


def sizes_of(config: StudyConfig) -> Sizes:
    """Of the subject that each model of a study is measured against."""
    return Sizes(
        num_forget=1 if config.forget_separately else len(config.forget),
        num_neighbours=config.num_neighbours,
        is_prompted=config.prompts is not None,
        rows_per_sample=1 if config.prompts is None else 2,
    )


def rows_of_model(config: StudyConfig, plan: TrialPlan, fidelity: Fidelity, *, num_models: int = 1) -> int:
    """Of measuring the plan's metrics: one model against all forget sets, or one model for each of them."""
    sizes, num_sets = sizes_of(config), len(plan.prepared)
    whole = expected_rows(plan.metrics, fidelity, sizes)
    if num_models > 1:
        return num_models * whole
    others = [name for name in plan.metrics if not is_of_samples(name)]
    return whole + (num_sets - 1) * expected_rows(others, fidelity, sizes)


def rows_of_search_reference(config: StudyConfig, plan: TrialPlan) -> int:
    """Of the untouched model as trials are measured, at every rung that measures with a part, and on a finer grid."""
    others = [name for name in plan.metrics if not is_of_samples(name)]
    parts = [plan.fidelity_at(rung) for rung in range(len(plan.ladder))]
    of_parts = sum(expected_rows(others, part, sizes_of(config)) for part in parts if part != plan.fidelity)
    finer = replace(plan.fidelity, num_likelihood_evaluations=2 * plan.fidelity.num_likelihood_evaluations)
    of_grid = expected_rows([NLL], finer, sizes_of(config)) if NLL in plan.metrics else 0
    return rows_of_model(config, plan, plan.fidelity) + len(plan.prepared) * (of_parts + of_grid)


def rows_of_calibration(plan: TrialPlan) -> int:
    """Of the optimiser steps whose gradients are looked at."""
    rows = plan.training.batch_size * plan.training.accumulation
    return WITH_BACKWARD * _PASSES * rows * calibration_steps(len(plan.prepared))
