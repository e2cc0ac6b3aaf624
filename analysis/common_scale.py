"""Fronts of several studies brought onto one scale: rows of numbers that figures and attainment are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparable import Scale
from analysis.configurations import NUM_REPEATS, SPREAD, STDERR
from analysis.hypervolume import gains, hypervolume
from analysis.load import Study
from analysis.scene import front_members
from analysis.table import numeric


def front_on(study: Study, scale: Scale) -> pd.DataFrame:
    """A study's front on a scale: ``trial_id, step, method``, each `Scale.column`, and ``<column>_error``.

    Rows are in order of the first objective, best first; those that lack an objective are left out. Errors are standard
    errors, of repeated settings the spread between their runs, 0 where not known. Empty also where gains are asked for
    and the study has no ideal.
    """
    members = front_members(study)
    names = [objective.metric for objective in scale.objectives]
    columns = ["trial_id", "step", "method", *scale.columns, *(f"{column}_error" for column in scale.columns)]
    if members.empty or (scale.in_gains and study.ideal is None):
        return pd.DataFrame(columns=columns)
    values, errors = numeric(members, names), np.column_stack([_errors(members, name) for name in names])
    if scale.in_gains and study.ideal is not None:
        reference, ideal = study.member_reference, study.ideal
        errors = errors / np.abs([ideal[name] - reference[name] for name in names])
        values = gains(members, scale.objectives, reference, ideal)
    table = members.reindex(columns=["trial_id", "step", "method"]).reset_index(drop=True)
    for place, column in enumerate(scale.columns):
        table[column], table[f"{column}_error"] = values[:, place], errors[:, place]
    order = np.argsort(scale.sign(scale.objectives[0]) * values[:, 0], kind="stable")
    kept = np.asarray(np.isfinite(values).all(axis=1))
    return table.iloc[order[kept[order]]].reset_index(drop=True)[columns]


def _errors(members: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """(n,) the spread between the runs of a setting, else the standard error, else 0."""
    found = np.full(len(members), np.nan)
    for name in (metric + SPREAD, metric + STDERR) if NUM_REPEATS in members else (metric + STDERR,):
        if name in members:
            found = np.where(np.isnan(found), numeric(members, [name])[:, 0], found)
    return np.asarray(np.nan_to_num(found), dtype=np.float64)


def front_hypervolume(study: Study) -> float:
    """Normalised hypervolume of the front, re-measured if the study is finished; 0 if empty, NaN without an ideal."""
    if study.ideal is None:
        return np.nan
    members = front_members(study)
    if members.empty:
        return 0.0
    return hypervolume(members, study.objectives, study.member_reference, study.ideal)
