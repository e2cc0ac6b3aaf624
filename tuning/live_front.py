"""The front of a study while it runs: its members, what they are worth, and where each trial stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.configurations import configuration_names, is_repeated, points_of
from analysis.front import hypervolume, pareto_front, violations
from tuning.judging import Goals
from tuning.ranking import constrained_ranks


@dataclass(frozen=True)
class LiveFront:
    """The members of the front, as rows of the reports, and their normalised hypervolume."""

    members: pd.DataFrame
    hypervolume: float


def live_front(reports: pd.DataFrame, goals: Goals, trials: pd.DataFrame | None = None) -> LiveFront:
    """The front over every candidate report; where settings were repeated, over the configurations' points.

    Args:
        reports: as in ``reports.csv``.
        goals: what they are judged by.
        trials: as in ``trials.csv``: which runs failed.

    Raises:
        ValueError: the ideal is not better than the untouched model in every objective.
    """
    candidates = points_of(reports[reports["candidate"]], trials)
    members = pareto_front(candidates, goals.objectives, goals.constraints, goals.baseline)
    return LiveFront(members, hypervolume(members, goals.objectives, goals.baseline, goals.ideal))


def trial_ranks(reports: pd.DataFrame, goals: Goals, trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per trial that reported: ``trial_id, step, pareto_rank, feasible, violation`` of its best candidate.

    Ranks are those of :func:`tuning.ranking.constrained_ranks` over all candidates; of a trial's equals the first step.
    Where settings were repeated, a trial has the rank, step and verdict of its configuration's best point, and none
    where that has no point.
    """
    candidates = reports[reports["candidate"]]
    ranked = points_of(candidates, trials).copy()
    values = [objective.sign * ranked[objective.metric].to_numpy(dtype=np.float64) for objective in goals.objectives]
    ranked["violation"] = violations(ranked, goals.constraints, goals.baseline)
    ranked["feasible"] = ranked["violation"] == 0.0
    ranked["pareto_rank"] = constrained_ranks(np.column_stack(values), ranked["violation"].to_numpy())
    best = ranked.sort_values(["trial_id", "pareto_rank", "step"]).drop_duplicates("trial_id")
    best = best[["trial_id", "step", "pareto_rank", "feasible", "violation"]]
    return _for_each_run(best, candidates) if is_repeated(candidates) else best.reset_index(drop=True)


def _for_each_run(best: pd.DataFrame, reports: pd.DataFrame) -> pd.DataFrame:
    """The row of each configuration once for each of its runs, under the run's own id."""
    runs = pd.DataFrame({"run": reports["trial_id"], "trial_id": configuration_names(reports)}).drop_duplicates()
    found = runs.merge(best, on="trial_id").drop(columns="trial_id").rename(columns={"run": "trial_id"})
    return found.sort_values("trial_id").reset_index(drop=True)
