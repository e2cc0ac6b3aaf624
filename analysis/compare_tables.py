"""Studies, and their methods, beside each other: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.common_scale import front_hypervolume
from analysis.comparable import labelled
from analysis.hypervolume import hypervolume
from analysis.load import Study
from analysis.scene import compose
from analysis.table import numeric, rows
from tuning.records import TrialState
from tuning.study_status import study_status


def study_table(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a study, in the order given.

    Columns: ``study, state, seed, trials`` (ended), ``planned, failed, reports, methods, objectives, bounds, members,
    hypervolume`` (of the front as it is drawn: re-measured where ``remeasured``), ``search_hypervolume`` (of all
    reports, by the values that the search chose by, which look better than they are), ``recommended``
    (``<trial>-<step>``, empty where none is), its objectives, ``worker_seconds`` (time of workers inside trials that
    ended). What is not known is NaN: hypervolumes without an ideal among them.

    Raises:
        StudyError: as `analysis.comparable.labelled`; a study's files are gone or cannot be read.
    """
    return pd.DataFrame([_study_row(label, study) for label, study in labelled(studies).items()])


def _study_row(label: str, study: Study) -> dict[str, Any]:
    status, scene = study_status(study.files.root), compose(study)
    chosen = None if scene.choice.position is None else rows(scene.members)[scene.choice.position]
    return {
        "study": label,
        "state": status.state,
        "seed": study.config.seed,
        "trials": status.num_ended,
        "planned": study.config.num_trials,
        "failed": (status.trials or {}).get(TrialState.FAIL, 0),
        "reports": len(study.reports),
        "methods": ", ".join(study.config.methods),
        "objectives": ", ".join(map(str, study.objectives)),
        "bounds": ", ".join(map(str, study.constraints)) or "none",
        "members": len(scene.members),
        "remeasured": study.is_finished,
        "hypervolume": front_hypervolume(study),
        "search_hypervolume": _hypervolume(study, scene.feasible, bool(len(study.candidates))),
        "recommended": "" if chosen is None else f"{chosen['trial_id']}-{chosen['step']}",
        **{o.metric: np.nan if chosen is None else float(chosen[o.metric]) for o in study.objectives},
        "worker_seconds": _seconds(study.trials),
    }


def method_table(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a method and study, by method in the order of the first study that has it.

    Columns: ``method, study, trials, failed, reports, feasible`` (points that keep every bound), ``members`` (of the
    front), ``hypervolume`` (of the method's feasible points alone, as the search measured them), the best value of each
    objective among those, ``worker_seconds``. NaN where nothing is feasible or known. A method that a study did not
    search has no row.

    Raises:
        StudyError: as `analysis.comparable.labelled`.
    """
    known = labelled(studies)
    methods = list(dict.fromkeys(method for study in known.values() for method in study.config.methods))
    found = {label: {row["method"]: row for row in _method_rows(study)} for label, study in known.items()}
    lines = [
        {"method": method, "study": label, **found[label][method]}
        for method in methods
        for label in known
        if method in found[label]
    ]
    return pd.DataFrame(lines)


def _method_rows(study: Study) -> list[dict[str, Any]]:
    scene = compose(study)
    of_trials, of_reports = _by_method(study.trials), _by_method(study.candidates)
    feasible, members = _by_method(scene.feasible), _by_method(scene.members)
    lines = []
    for method in study.config.methods:
        trials, reports, good = (of.get(method, pd.DataFrame()) for of in (of_trials, of_reports, feasible))
        failed = int((trials["state"] == TrialState.FAIL).sum()) if "state" in trials else 0
        lines.append(
            {
                "method": method,
                "trials": len(trials),
                "failed": failed,
                "reports": len(reports),
                "feasible": len(good),
                "members": len(members.get(method, ())),
                "hypervolume": _hypervolume(study, good, bool(len(reports))),
                **{objective.metric: _best(good, objective.metric, objective.sign) for objective in study.objectives},
                "worker_seconds": _seconds(trials),
            }
        )
    return lines


def _by_method(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(method): part for method, part in table.groupby("method", sort=False)} if "method" in table else {}


def _hypervolume(study: Study, feasible: pd.DataFrame, reported: bool) -> float:
    if study.ideal is None or not reported:
        return np.nan
    if feasible.empty:
        return 0.0
    return hypervolume(feasible, study.objectives, study.search_reference, study.ideal)


def _best(table: pd.DataFrame, metric: str, sign: float) -> float:
    if table.empty:
        return np.nan
    values = sign * numeric(table, [metric])[:, 0]
    return float(sign * np.nanmin(values)) if np.isfinite(values).any() else np.nan


def _seconds(trials: pd.DataFrame) -> float:
    seconds = numeric(trials, ["seconds"])[:, 0] if "seconds" in trials else np.empty(0)
    return float(np.nansum(seconds)) if np.isfinite(seconds).any() else np.nan
