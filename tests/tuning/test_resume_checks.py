"""A study can be resumed while it has the weights that its front may be made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from other_study import random_trials, write_other

from tuning.checks.resuming import weights_problems
from tuning.record_tables import read_table


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_other(tmp_path / "study", random_trials(12))
    (root / "candidates").mkdir()
    for report in read_table(root / "reports.csv").itertuples():
        (root / "candidates" / f"{report.trial_id}-{report.step}.safetensors").touch()
    return root


def problems(root: Path, resume: bool = True) -> list[str]:
    return list(map(str, weights_problems(str(root.parent), root.name, resume)))


def test_with_all_weights_there_is_no_problem(root: Path) -> None:
    assert problems(root) == []


def test_only_feasible_reports_are_measured_again(root: Path) -> None:
    reports = read_table(root / "reports.csv")
    assert not reports["feasible"].all()
    for report in reports[~reports["feasible"]].itertuples():
        (root / "candidates" / f"{report.trial_id}-{report.step}.safetensors").unlink()
    assert problems(root) == []


def test_weights_of_several_models_lie_in_a_folder(root: Path) -> None:
    for path in (root / "candidates").glob("*"):
        path.unlink()
        path.with_suffix("").mkdir()
    assert problems(root) == []


def test_missing_weights_are_named(root: Path) -> None:
    reports = read_table(root / "reports.csv")
    feasible = reports[reports["feasible"]]
    for report in feasible.itertuples():
        (root / "candidates" / f"{report.trial_id}-{report.step}.safetensors").unlink()
    [problem] = problems(root)
    first = feasible.iloc[0]
    assert f"without {first['trial_id']}-{first['step']}" in problem
    assert f"and {len(feasible) - 3} more" in problem
    assert "--warm-start" in problem
    assert problems(root, resume=False) == []


def test_before_the_first_report_nothing_is_missing(tmp_path: Path) -> None:
    assert problems(tmp_path / "study") == []
