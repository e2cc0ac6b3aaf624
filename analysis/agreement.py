"""How few network calls a measurement can do with: as few as rank the models of a study as many calls do.

A search needs the order of its trials, not their exact values. Spearman's rank correlation says how far the order by
few calls is that by many from the same noise: for each setting that trades calls for exactness, and for each metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from metrics import METRICS
from tuning.schema import StudyConfig

#: Spearman's rank correlation from which an order counts as the same.
LEAST_CORRELATION: Final = 0.95
#: Models below which a high correlation may be chance.
FEWEST_MODELS: Final = 30


@dataclass(frozen=True)
class Setting:
    """A field of the study that says how many network calls something takes.

    Attributes:
        name: the field.
        part: what the names of the parts of ``Evidence`` that it makes have in them.
        candidates: values to try.
        reference: the value that counts as exact.
        most: a field of the study that no value can exceed, if there is one.
    """

    name: str
    part: str
    candidates: tuple[int, ...]
    reference: int
    most: str | None = None

    def of(self, config: StudyConfig) -> Setting:
        """With the study's own value among the candidates, and a reference of at least twice that."""
        own = int(getattr(config, self.name))
        reference = max(self.reference, 2 * own)
        if self.most is not None:
            reference = max(min(reference, int(getattr(config, self.most))), own)
        candidates = {value for value in (*self.candidates, own) if value < reference}
        return replace(self, candidates=tuple(sorted(candidates)), reference=reference)

    def metrics(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of ``names`` that it changes."""
        return tuple(name for name in names if any(self.part in part for part in METRICS[name].needs))


SAMPLING: Final = Setting("num_sampling_steps", "sample", (5, 7, 10, 14, 20), 40)
DENOISING: Final = Setting("num_denoising_steps", "denoising", (4, 6, 8, 12, 16), 40, "injection_timestep")
LIKELIHOOD: Final = Setting("num_likelihood_evaluations", "likelihood", (16, 24, 32, 40, 60), 160)
SETTINGS: Final = (SAMPLING, DENOISING, LIKELIHOOD)


def agreement(measured: pd.DataFrame) -> pd.DataFrame:
    """How each value of each setting ranks the models, against the largest value of that setting.

    Args:
        measured: a row for each model, ``setting``, ``value`` and ``metric``: ``trial_id``, ``step``, ``measured`` and
            ``network_rows`` (of all metrics of that setting together).

    Returns:
        ``setting``; ``value``; ``metric``; ``spearman`` in [-1, 1], NaN where the reference does not tell the models
        apart, 0 where it does and the value does not, or has no finite measurement; ``num_models`` that the reference
        has a finite measurement of; ``network_rows`` a model, on the average; ``share_of_rows`` of the reference's.
    """
    table = []
    for (setting, metric), of_metric in measured.groupby(["setting", "metric"], sort=False):
        by_value = of_metric.pivot(index=["trial_id", "step"], columns="value", values="measured")
        network_rows = of_metric.groupby("value")["network_rows"].mean()
        reference = by_value[by_value.columns.max()]
        for value in sorted(by_value.columns)[:-1]:
            table.append({
                "setting": setting,
                "value": int(value),
                "metric": metric,
                "spearman": spearman(by_value[value], reference),
                "num_models": int(np.isfinite(reference).sum()),
                "network_rows": network_rows[value],
                "share_of_rows": network_rows[value] / network_rows[by_value.columns.max()],
            })  # fmt: skip
    return pd.DataFrame(table)


def fewest(found: pd.DataFrame, least: float = LEAST_CORRELATION) -> Mapping[str, int | None]:
    """setting → the smallest value that, with all larger ones, reaches ``least`` for every metric.

    Metrics that do not tell the models apart have no say. None where no value does, or no metric has a say.
    """
    chosen: dict[str, int | None] = {}
    for setting, of_setting in found.groupby("setting", sort=False):
        chosen[str(setting)] = None
        for value in sorted(map(int, of_setting["value"].unique()), reverse=True):
            correlations = of_setting.loc[of_setting["value"] == value, "spearman"].dropna()
            if correlations.empty or correlations.min() < least:
                break
            chosen[str(setting)] = value
    return chosen


def spearman(values: pd.Series, reference: pd.Series) -> float:
    """Spearman's rank correlation in [-1, 1]: Pearson's of the ranks, equal values sharing the mean of theirs.

    Of the rows whose ``reference`` is finite. NaN where these are all equal; 0 where ``values`` are, or are not all
    finite.
    """
    known = np.isfinite(reference)
    values, reference = values[known], reference[known]
    if reference.nunique() < 2:
        return float("nan")
    if not np.isfinite(values).all() or values.nunique() < 2:
        return 0.0
    return float(np.corrcoef(values.rank(), reference.rank())[0, 1])
