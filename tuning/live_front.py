"""Where each trial of a study stands by its best report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.front import violations
from tuning.outcome import Goals
from tuning.ranking import constrained_ranks


def trial_ranks(reports: pd.DataFrame, goals: Goals) -> pd.DataFrame:
    """One row per trial that reported: ``trial_id, step, pareto_rank, feasible, violation`` of its best candidate.

    Ranks are those of :func:`tuning.ranking.constrained_ranks` over all candidates; of a trial's equals the first step.
    """
    ranked = reports[reports["candidate"]].copy()
    values = [objective.sign * ranked[objective.metric].to_numpy(dtype=np.float64) for objective in goals.objectives]
    ranked["violation"] = violations(ranked, goals.constraints, goals.baseline)
    ranked["feasible"] = ranked["violation"] == 0.0
    ranked["pareto_rank"] = constrained_ranks(np.column_stack(values), ranked["violation"].to_numpy())
    best = ranked.sort_values(["trial_id", "pareto_rank", "step"]).drop_duplicates("trial_id")
    return best[["trial_id", "step", "pareto_rank", "feasible", "violation"]].reset_index(drop=True)
