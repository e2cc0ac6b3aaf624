"""Made-up studies side by side in one storage path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from synthetic_study import make_reports, write_study


def better_reports(seed: int) -> pd.DataFrame:
    """Reports of a search that gets 1.6 times as far in NLL at the same price."""
    reports = make_reports(10, seed=seed)
    return reports.assign(nll=3.3 + 1.6 * (reports["nll"] - 3.3))


def two_groups(storage: Path) -> list[Path]:
    """Two searches with three seeds each."""
    plain = [write_study(storage / f"tpe {seed}", make_reports(10, seed=seed), seed=seed) for seed in (1, 2, 3)]
    better = [
        write_study(storage / f"ehvi {seed}", better_reports(seed), seed=seed, searcher="ehvi") for seed in (1, 2, 3)
    ]
    return [*plain, *better]


def without_values(reports: pd.DataFrame) -> pd.DataFrame:
    return reports.assign(sscd=np.nan, nll=np.nan, fid=np.nan)
