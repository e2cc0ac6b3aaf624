"""What it would have cost to stop every trial earlier, and what going on has brought."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from analysis.growing_front import GrowingFront
from analysis.load import Study
from analysis.scene import can_judge
from analysis.table import rows

_COLUMNS: Final = ("step", "reports", "optimiser_steps", "share_of_steps", "hypervolume", "share_of_hypervolume")


def stopping_cost(study: Study) -> pd.DataFrame:
    """One row a step at which something was reported: the study as it were, had each trial been stopped there.

    Returns:
        ``step``; ``reports`` up to it; ``optimiser_steps`` of all trials up to it (the later ones not made); its
        ``share_of_steps`` of those that were made; ``hypervolume`` of the front over the points up to it, as the search
        measured them, and its ``share_of_hypervolume`` of that at the last step. Hypervolumes are NaN without an ideal,
        the share also where the last is 0. Steps are those until the last report of each trial. Empty where nothing was
        reported.
    """
    reports = study.candidates
    if reports.empty:
        return pd.DataFrame(columns=list(_COLUMNS))
    steps = np.sort(reports["step"].unique())
    last = reports.groupby("trial_id")["step"].max().to_numpy()
    made = np.array([np.minimum(last, step).sum() for step in steps])
    volumes = _hypervolumes(study, steps)
    with np.errstate(invalid="ignore"):
        shares = np.where(volumes[-1] > 0, volumes / (volumes[-1] or 1.0), np.nan)
    counts = [int((reports["step"] <= step).sum()) for step in steps]
    values = (steps, counts, made, made / made[-1], volumes, shares)
    return pd.DataFrame(dict(zip(_COLUMNS, values, strict=True)))


def _hypervolumes(study: Study, steps: np.ndarray) -> np.ndarray:
    """(n,) of the front over the points up to each step."""
    if study.ideal is None or not can_judge(study):
        return np.full(len(steps), np.nan)
    front = GrowingFront(study.goals)
    points, values = study.points.sort_values("step", kind="stable"), []
    for step in steps:
        for row in rows(points[points["step"] == step]):
            front.add(row)
        values.append(front.hypervolume)
    return np.array(values)
