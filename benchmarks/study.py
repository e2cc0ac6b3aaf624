"""What the newest study came to, read off its files: nothing is run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.front import hypervolume
from analysis.load import Study, StudyError, load_study
from analysis.table import rows
from benchmarks.table import Result
from tuning.baseline import UNTOUCHED

FAMILY = ("siss", "siss_no_is")


def run(storage: Path | str = "runs") -> Result:
    """The figures of the newest finished study below ``storage``.

    Raises:
        StudyError: there is none, or it cannot be read.
    """
    study = load_study(newest(Path(storage)))
    timing: Mapping[str, float] = json.loads(study.files.timing.read_text(encoding="utf-8"))
    ended = study.trials[study.trials["state"] == "COMPLETE"]
    methods = sorted(set(ended["method"]))
    reports = study.reports.groupby("trial_id").size().reindex(ended["trial_id"], fill_value=0)
    figures = [
        ("trials completed / started", f"{len(ended)} / {len(study.trials)}", "≥ 16"),
        ("methods completed", ", ".join(methods) or "none", "all"),
        ("reports per completed trial, least / median", _least_and_median(reports), "≥ 4"),
        ("study minutes, start to front", f"{timing['study_seconds'] / 60:.1f}", "≤ 12"),
        ("share of worker time inside trials", f"{timing['utilisation']:.2f} of {timing['slots']} slots", "≥ 0.85"),
        ("peak memory of a worker, GB", f"{timing['peak_memory_gb']:.2f}", "≤ 2.5"),
        ("front members", str(len(study.front)), "≥ 1"),
        ("best SISS-family member against untouched", best_of_family(study), "≥ 3 each"),
        ("hypervolume of the re-measured front", _hypervolume(study), ""),
    ]
    return Result(f"Study {study.name}", ("figure", "value", "wanted"), figures, f"From {study.files.root}")


def newest(storage: Path) -> Path:
    """The study below ``storage`` that finished last.

    Raises:
        StudyError: none has finished.
    """
    finished = sorted(storage.glob("*/timing.json"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise StudyError(f"{storage} must hold a finished study, but has no */timing.json; run `make tune` first")
    return finished[-1].parent


def best_of_family(study: Study) -> str:
    """The member of the SISS family whose least improvement over the untouched model is largest, in standard errors."""
    members = [row for row in rows(study.front) if row["method"] in FAMILY]
    scored = [(improvements(study, member), member) for member in members]
    scored = [(scores, member) for scores, member in scored if all(map(math.isfinite, scores.values()))]
    if not scored:
        return "no member"
    scores, best = max(scored, key=lambda pair: min(pair[0].values()))
    figures = ", ".join(f"{metric} {score:+.1f}" for metric, score in scores.items())
    return f"{best['trial_id']}-{best['step']} {best['method']}: {figures} standard errors"


def improvements(study: Study, member: Mapping[str, Any]) -> dict[str, float]:
    """Objective → improvement over the untouched model, in standard errors of the difference of independent values.

    The two are measured under the same noise, so that their difference is known better than this says.
    """
    scores = {}
    for objective in study.objectives:
        before = study.baseline.models[UNTOUCHED][objective.metric]
        gain = (before.value - float(member[objective.metric])) * objective.sign
        error = math.hypot(before.stderr, float(member[f"{objective.metric}_stderr"]))
        scores[objective.metric] = gain / error if error > 0 else math.nan
    return scores


def _least_and_median(reports: pd.Series) -> str:
    return f"{reports.min()} / {reports.median():.0f}" if len(reports) else "none"


def _hypervolume(study: Study) -> str:
    if study.ideal is None:
        return "no ideal"
    if study.front.empty:
        return "0.000"
    return f"{hypervolume(study.front, study.objectives, study.untouched, study.ideal):.3f}"
