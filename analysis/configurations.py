"""Configurations: what the runs of one setting, with other training seeds, come to together.

A configuration is a method and its parameters. Its runs are trials that differ in their training seed alone (the column
``repeat``), and at each step it is one point: the mean of what its runs reported there. The front of a study with
repeats is made of such points, since the report of one lucky seed says little about a setting.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.table import numeric
from tuning.records import IDENTITY, VERDICT, TrialState

STDERR: Final = "_stderr"
SPREAD: Final = "_spread"
NUM_REPEATS: Final = "num_repeats"


def is_repeated(reports: pd.DataFrame) -> bool:
    """Whether some setting was run more than once: without that every report is a point of its own."""
    return "repeat" in reports and bool((numeric(reports, ["repeat"]) > 0).any())


def points_of(reports: pd.DataFrame, trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """What a front is made of: the configurations' points where settings were repeated, else the reports themselves."""
    return configurations(reports, trials) if is_repeated(reports) else reports


def configuration_names(reports: pd.DataFrame) -> pd.Series:
    """The name of each report's configuration: the ``trial_id`` of its first run (of the lowest repeat)."""
    numbers = _numbers(reports)
    first = reports.assign(number=numbers).sort_values(["repeat", "trial_id"], kind="stable")
    names: pd.Series = numbers.map(first.drop_duplicates("number").set_index("number")["trial_id"])
    return names


def configurations(reports: pd.DataFrame, trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a configuration and step: the mean of its runs, with the spread between them.

    With values v_i and standard errors e_i of n runs at a step:

    - ``<metric>`` = mean v_i, NaN where one of them is; so is every other measured column, as ``<metric>_search``;
    - ``<metric>_stderr`` = mean e_i. Runs are measured on the same draws, so that their errors do not average out as
      independent ones would (sqrt(sum e_i²) / n); whatever they share, the error of the mean is at most this;
    - ``<metric>_spread`` = the sample standard deviation of v_i: how much another training seed may differ; NaN for
      one run. It takes the place of a spread over forget images;
    - ``<metric>_num`` = the sum of the runs'; ``num_repeats`` = n.

    Args:
        reports: as in ``reports.csv``, candidates only.
        trials: as in ``trials.csv``. A configuration has no point beyond the last report of a run of its that failed:
            the seeds that went well do not stand for one that did not.

    Returns:
        Under an index of its own, in the order in which the configurations' first runs stand in `reports`. Identity
        and parameters are those of the first run that has the step, but for ``trial_id``, the configuration's name.
        ``feasible`` and ``violation`` are left out: bounds are to be judged on the mean.
    """
    names = configuration_names(reports)
    runs = reports.assign(configuration=names).sort_values(["configuration", "step", "repeat"], kind="stable")
    # An interrupted trial that was run again under another id has the same seed, and counts once.
    runs = runs.drop_duplicates(["configuration", "step", "seed"])
    runs = runs[runs["step"].to_numpy() <= _last_steps(reports, names, trials, runs["configuration"])]
    points = runs.drop_duplicates(["configuration", "step"]).reset_index(drop=True)
    point_of = runs.groupby(["configuration", "step"], sort=False).ngroup().to_numpy()
    counts = np.bincount(point_of, minlength=len(points)).astype(np.float64)
    for column in _measured(reports):
        if column.endswith(SPREAD):
            continue
        values = numeric(runs, [column])[:, 0]
        total = np.bincount(point_of, weights=values, minlength=len(points))
        if column.endswith("_num"):
            points[column] = total.astype(np.int64) if np.isfinite(total).all() else total
            continue
        points[column] = total / counts
        if column + STDERR in runs:
            points[column + SPREAD] = _deviation(values, point_of, total / counts, counts)
    points[NUM_REPEATS] = counts.astype(np.int64)
    points["trial_id"] = points["configuration"]
    order = points["configuration"].map({name: place for place, name in enumerate(dict.fromkeys(names))})
    points = points.iloc[np.lexsort([points["step"], order])].reset_index(drop=True)
    return points.drop(columns=["configuration", "feasible", "violation"], errors="ignore")


def _deviation(
    values: NDArray[np.float64], group: NDArray[Any], means: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) sample standard deviation in each group, NaN for groups of one."""
    with np.errstate(invalid="ignore"):  # the difference of two infinities
        squares = np.bincount(group, weights=(values - means[group]) ** 2, minlength=len(means))
    return np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)


def parameter_names(reports: pd.DataFrame) -> list[str]:
    """The columns of hyper-parameters: from the identity on to the first metric, which its standard error tells."""
    others = [str(column) for column in reports.columns if column not in (*IDENTITY, *VERDICT)]
    return list(takewhile(lambda name: name + STDERR not in reports, others))


def _measured(reports: pd.DataFrame) -> list[str]:
    """The columns of what was measured: all but identity, parameters and verdict."""
    others = {*IDENTITY, *VERDICT, *parameter_names(reports)}
    return [str(column) for column in reports.columns if column not in others]


def _numbers(reports: pd.DataFrame, failed: pd.DataFrame | None = None) -> pd.Series:
    """The number of each row's configuration; rows of `failed`, a part of ``trials.csv``, come after the reports'."""
    keys = ["method", *parameter_names(reports)]
    rows = reports[keys] if failed is None else pd.concat([reports[keys], failed.reindex(columns=keys)])
    numbers: pd.Series = rows.groupby(keys, dropna=False, sort=False).ngroup()
    return numbers


def _last_steps(
    reports: pd.DataFrame, names: pd.Series, trials: pd.DataFrame | None, wanted: pd.Series
) -> NDArray[np.float64]:
    """(n,) the last step at which each of the `wanted` configurations has a point; infinite where no run failed."""
    last: dict[str, float] = {}
    failed = None if trials is None or trials.empty else trials[trials["state"] == TrialState.FAIL]
    if failed is not None and not failed.empty:
        numbers = _numbers(reports, failed).to_numpy()
        name_of = dict(zip(numbers[: len(reports)], names, strict=True))
        reached = reports.groupby("trial_id")["step"].max().to_dict()
        for number, trial in zip(numbers[len(reports) :], failed["trial_id"], strict=True):
            name = name_of.get(number)
            if name is not None:
                last[name] = min(last.get(name, np.inf), reached.get(trial, -np.inf))
    return np.array([last.get(name, np.inf) for name in wanted], dtype=np.float64)
