"""A made-up study as a directory, in the states that a study can be in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from synthetic_study import (
    CONSTRAINTS,
    OBJECTIVES,
    UNTOUCHED,
    draw,
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


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of whole pages, which are not about importances: these take most of a page's time."""
    monkeypatch.setattr("analysis.importance.NUM_TREES", 1)


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """``make_study(reports=…, finished=…, retrained=…, failed=…, images=…, name=…)`` → the study's directory."""

    def make(
        reports: pd.DataFrame | None = None,
        *,
        finished: bool = True,
        retrained: bool = True,
        failed: bool = True,
        images: bool = False,
        name: str = "synthetic",
        **config: object,
    ) -> Path:
        files = StudyFiles(tmp_path / "runs" / name)
        files.root.mkdir(parents=True, exist_ok=True)
        files.study.write_text(to_yaml(make_config(**config)), encoding="utf-8")
        write_baseline(files.baseline, retrained)
        table = judged(make_reports(20) if reports is None else reports)
        write_table(files.reports, table)
        write_table(files.trials, make_trials(table, failed))
        if finished:
            write_table(files.front, remeasured(pareto_front(points_of(table), OBJECTIVES, CONSTRAINTS, UNTOUCHED)))
        if images:
            draw(files, table)
        return files.root

    return make
