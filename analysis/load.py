"""A study as its files tell it: read-only, with no service running, and while the study still runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from analysis.configurations import points_of
from analysis.table import rows
from tuning.baseline import Baseline
from tuning.files import TRIAL_ID, StudyFiles
from tuning.goals import Constraint, Objective
from tuning.judging import Goals
from tuning.problems import ConfigError
from tuning.record_tables import read_table
from tuning.schema import StudyConfig
from tuning.studyfile import from_yaml


class StudyError(Exception):
    """A study directory is missing, or a file in it cannot be read; rule, value and remedy in one sentence."""


@contextmanager
def whole_tables(remedy: str = "put the files of the study back together") -> Iterator[None]:
    """What is done with a study's tables, which may be damaged, or copied from different studies.

    Raises:
        StudyError: they lack a column that is asked for, or have values of another kind.
    """
    try:
        yield
    except (KeyError, ValueError) as error:
        found = error.args[0] if error.args else error
        found = found if " " in str(found) else f"there is no {found}"  # pandas names the column and says no more
        rule = f"the tables of a study must have the columns that its study.yaml asks for, but {found}"
        raise StudyError(f"{rule}; {remedy}") from error


@dataclass(frozen=True)
class Study:
    """What a study directory holds; tables are empty where a file is not there yet."""

    files: StudyFiles
    config: StudyConfig
    baseline: Baseline
    reports: pd.DataFrame
    trials: pd.DataFrame
    front: pd.DataFrame

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self.config.objectives

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return self.config.constraints

    @property
    def candidates(self) -> pd.DataFrame:
        """The reports whose model can become a front member."""
        return self.reports[self.reports["candidate"]] if "candidate" in self.reports else self.reports

    @cached_property
    def points(self) -> pd.DataFrame:
        """What the front is made of: the candidates, or their means over repeats where settings were repeated."""
        return points_of(self.candidates, self.trials)

    @property
    def untouched(self) -> dict[str, float]:
        """metric → value of the untouched model, measured as the front is re-measured: what front.csv is judged by."""
        return self.baseline.reference

    @property
    def search_reference(self) -> dict[str, float]:
        """metric → value of the untouched model, measured as trials measure: what reports.csv is judged by."""
        return self.baseline.search_reference

    @property
    def member_reference(self) -> dict[str, float]:
        """The one of the two that the members of the front are judged by."""
        return self.untouched if self.is_finished else self.search_reference

    @property
    def ideal(self) -> dict[str, float] | None:
        """metric → value of the ideal; None where it is not known, or not better than the untouched model."""
        ideal = self.baseline.ideal
        for objective in self.objectives:
            name = objective.metric
            for reference in (self.untouched, self.search_reference):
                if not (ideal.get(name, math.nan) - reference.get(name, math.nan)) * objective.sign < 0:
                    return None
        return ideal

    @property
    def goals(self) -> Goals:
        """What reports are judged by; without an ideal where none is known."""
        return Goals(self.objectives, self.constraints, self.search_reference, self.ideal or {})

    @property
    def is_finished(self) -> bool:
        """Whether the front of all that was searched is re-measured, which is the last thing that a study does.

        A launch that goes on with a finished study sets its front aside (`tuning.front_file`).
        """
        return self.files.front.is_file()

    def label(self, metric: str) -> str:
        """How a metric is called in reports."""
        return self.baseline.labels.get(metric, metric)


def load_study(root: Path | str) -> Study:
    """Reads a study directory.

    Args:
        root: ``<storage-path>/<name>``.

    Raises:
        StudyError: there is no study, or one of its files cannot be read.
    """
    files = StudyFiles(Path(root))
    if not files.study.is_file():
        raise StudyError(
            f"a study must have a study.yaml, but {files.root} has none; check the name and --storage-path"
        )
    try:
        config = from_yaml(files.study.read_text(encoding="utf-8"), str(files.study))
    except (ConfigError, UnicodeDecodeError) as error:
        raise StudyError(f"{files.study} must be the configuration of a study: {error}") from None
    return Study(
        files=files,
        config=config,
        baseline=_read_baseline(files.baseline),
        reports=_table(files.reports),
        trials=_table(files.trials),
        front=_table(files.front),
    )


def _table(path: Path) -> pd.DataFrame:
    try:
        table = read_table(path) if path.is_file() else pd.DataFrame()
    except (ValueError, RuntimeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} must be a table that a study wrote, but cannot be read: {error}") from error
    with whole_tables(f"put {path} back as the study wrote it"):
        _check_places(path, table)
    return table


def _check_places(path: Path, table: pd.DataFrame) -> None:
    """A table may come from elsewhere: what it names must lie where a study puts it, and lead nowhere else."""
    for trial_id in table["trial_id"].unique() if "trial_id" in table else ():
        if not TRIAL_ID.fullmatch(str(trial_id)):
            raise StudyError(
                f"a trial id must be letters, digits, '_', '-' and '.', but {path} has {str(trial_id)!r}; "
                "do not use the file, or copy it again from where it was made"
            )
    files = StudyFiles(path.parent)
    for row in rows(table) if "checkpoint" in table else ():
        place = files.checkpoint(str(row["trial_id"]), int(row["step"])).relative_to(files.root).as_posix()
        if row["checkpoint"] != place:
            raise StudyError(
                f"the checkpoint of a front member must be {place}, but {path} has {str(row['checkpoint'])!r}; "
                "do not use the file, or copy it again from where it was made"
            )


def _read_baseline(path: Path) -> Baseline:
    try:
        return Baseline.load(path) if path.is_file() else Baseline()
    except ValueError as error:
        raise StudyError(str(error)) from error
