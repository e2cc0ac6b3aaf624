"""Made-up studies side by side in one storage path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from synthetic_study import (
    CONSTRAINTS,
    OBJECTIVES,
    UNTOUCHED,
    judged,
    make_config,
    make_reports,
    make_trials,
    remeasured,
    write_baseline,
    write_table,
)

from analysis.configurations import points_of
from analysis.front import pareto_front
from tuning.config import to_yaml
from tuning.files import StudyFiles


def write_study(
    root: Path,
    *,
    reports: pd.DataFrame | None = None,
    finished: bool = True,
    retrained: bool = True,
    untouched: Mapping[str, float] | None = None,
    **config: Any,
) -> Path:
    """A study's directory. `untouched` changes values of the baseline's untouched model."""
    files = StudyFiles(root)
    files.root.mkdir(parents=True, exist_ok=True)
    config = {"name": files.name, **config}
    files.study.write_text(to_yaml(make_config(**config)), encoding="utf-8")
    write_baseline(files.baseline, retrained)
    baseline = json.loads(files.baseline.read_text())
    for metric, value in (untouched or {}).items():
        baseline["untouched"][metric]["value"] = value
    files.baseline.write_text(json.dumps(baseline))
    table = judged(make_reports(10, seed=int(config.get("seed", 3))) if reports is None else reports)
    write_table(files.reports, table)
    write_table(files.trials, make_trials(table, True))
    if finished:
        write_table(files.front, remeasured(pareto_front(points_of(table), OBJECTIVES, CONSTRAINTS, UNTOUCHED)))
        files.timing.write_text("{}")
    return files.root


def better_reports(seed: int) -> pd.DataFrame:
    """Reports of a search that gets 1.6 times as far in NLL at the same price."""
    reports = make_reports(10, seed=seed)
    return reports.assign(nll=3.3 + 1.6 * (reports["nll"] - 3.3))


def two_groups(storage: Path) -> list[Path]:
    """Two searches with three seeds each."""
    plain = [write_study(storage / f"tpe {seed}", seed=seed) for seed in (1, 2, 3)]
    better = [
        write_study(storage / f"ehvi {seed}", seed=seed, searcher="ehvi", reports=better_reports(seed))
        for seed in (1, 2, 3)
    ]
    return [*plain, *better]


def without_values(reports: pd.DataFrame) -> pd.DataFrame:
    return reports.assign(sscd=np.nan, nll=np.nan, fid=np.nan)
