"""Records of a study with one parameter and three metrics, for tests that run trials without training."""

from __future__ import annotations

from pathlib import Path

from tuning.files import StudyFiles
from tuning.judging import Goals
from tuning.records import Records


def records_of(root: Path, goals: Goals) -> Records:
    return Records(
        StudyFiles(root),
        parameters=["lambd"],
        metrics=["sscd", "nll", "fid"],
        constraints=goals.constraints,
        baseline=goals.baseline,
    )
