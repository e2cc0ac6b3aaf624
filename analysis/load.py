"""A study as its files tell it: read-only, with no service running, and while the study still runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tuning.config import ConfigError, Constraint, Objective, StudyConfig, from_yaml
from tuning.files import StudyFiles
from tuning.records import read_table

UNTOUCHED, UNTOUCHED_SEARCH, RETRAINED, UNSEEN = "untouched", "untouched_search", "retrained", "unseen"
#: Metrics whose ideal is known without a retrained model: no resemblance to the forget images.
KNOWN_IDEAL = {"sscd": 0.0}


class StudyError(Exception):
    """A study directory is missing, or a file in it cannot be read; rule, value and remedy in one sentence."""


@dataclass(frozen=True)
class Measured:
    """One value of ``baseline.json``; NaN for what was not measured."""

    value: float
    stderr: float = math.nan
    num_samples: int = 0


@dataclass(frozen=True)
class Baseline:
    """``baseline.json``.

    Args:
        models: ``untouched`` and, where measured, ``untouched_search``, ``retrained``, ``unseen`` → metric → value.
        calibration: quantity → value on the untouched model.
        labels: metric → how it is called in reports.
    """

    models: Mapping[str, Mapping[str, Measured]]
    calibration: Mapping[str, float]
    labels: Mapping[str, str]

    def values(self, model: str) -> dict[str, float]:
        """metric → value of one of the models; empty where it was not measured."""
        return {metric: measured.value for metric, measured in self.models.get(model, {}).items()}

    @property
    def ideal(self) -> dict[str, float]:
        """metric → the retrained model's value; without one no resemblance, and the likelihood of unseen images."""
        return self.values(RETRAINED) or {**KNOWN_IDEAL, **self.values(UNSEEN)}


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

    @property
    def untouched(self) -> dict[str, float]:
        """metric → value of the untouched model, measured as the front is re-measured: what front.csv is judged by."""
        return self.baseline.values(UNTOUCHED)

    @property
    def search_reference(self) -> dict[str, float]:
        """metric → value of the untouched model, measured as trials measure: what reports.csv is judged by.

        FID's bias depends on the number of images, so that a relative bound holds only between equal counts.
        """
        return self.baseline.values(UNTOUCHED_SEARCH) or self.untouched

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
    def is_finished(self) -> bool:
        """Whether the front was re-measured, which is the last thing that a study does."""
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
        return read_table(path) if path.is_file() else pd.DataFrame()
    except (ValueError, RuntimeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} must be a table that a study wrote, but cannot be read: {error}") from error


def _read_baseline(path: Path) -> Baseline:
    if not path.is_file():
        return Baseline({}, {}, {})
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = (UNTOUCHED, UNTOUCHED_SEARCH, RETRAINED, UNSEEN)
        models = {name: _measured(data[name]) for name in names if data.get(name)}
        return Baseline(models, data.get("calibration") or {}, data.get("labels") or {})
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StudyError(f"{path} must map models to metrics to value, stderr and num_samples: {error!r}") from error


def _measured(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Measured]:
    return {
        metric: Measured(_float(entry["value"]), _float(entry.get("stderr")), int(entry.get("num_samples") or 0))
        for metric, entry in metrics.items()
    }


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
