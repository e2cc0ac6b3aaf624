"""What the scripts of a report's page work on, as plain data: every point with its identity, settings and values.

Tables go by columns, since a row's names would be repeated for each of thousands of reports. A value that was not
measured is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.appearance import mean_key, member_key, point_key
from analysis.configurations import NUM_REPEATS, STDERR, is_repeated
from analysis.load import Study
from analysis.samples import Pair
from analysis.scene import Scene, can_judge
from analysis.select import NUM_STDERR
from analysis.settings import parameter_columns
from analysis.table import rows
from tuning.baseline import RETRAINED, UNTOUCHED, UNTOUCHED_SEARCH, Measured
from tuning.constraints import bound_value, margin_error
from tuning.goals import Constraint


def page_data(study: Study, scene: Scene, of: Mapping[str, Pair], pictures: Mapping[str, str]) -> dict[str, Any]:
    """Everything that can be pointed at, what it is judged by, and its pictures.

    Args:
        study: whose.
        scene: of its front.
        of: point → names of its pictures (`analysis.samples.pairs`).
        pictures: name → data URL, of those that are to be in the data; others stand on the page already, or not at all.

    Returns:
        ``labels`` (metric → name), ``goals``, ``recommended`` (null where no member is), ``points`` (name of the table
        that fronts are made of), ``tables`` (``reports``, ``means``, ``members``), ``baselines``, ``pairs`` (point →
        two names) and ``pictures``.
    """
    repeated = is_repeated(study.candidates)
    tables = {"reports": _table(study, study.reports, point_key)}
    if repeated:
        tables["means"] = _table(study, study.points, mean_key)
    if study.is_finished:
        tables["members"] = _table(study, study.front, member_key)
    return {
        "labels": {metric: study.label(metric) for metric in study.config.metrics},
        "goals": _goals(study),
        "recommended": _recommended(study, scene),
        "points": "means" if repeated else "reports",
        "tables": tables,
        "baselines": {
            "search": _baseline(study, _of(study, UNTOUCHED_SEARCH) or _of(study, UNTOUCHED)),
            UNTOUCHED: _baseline(study, _of(study, UNTOUCHED)),
            RETRAINED: _baseline(study, _of(study, RETRAINED)),
        },
        "pairs": {key: [pair.untouched, pair.unlearned] for key, pair in of.items()},
        "pictures": dict(pictures),
    }


def as_script(data: Mapping[str, Any], name: str) -> str:
    """Data as an element of a page that scripts read by its id; nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{safe}</script>'


def _of(study: Study, model: str) -> Mapping[str, Measured]:
    return study.baseline.models.get(model, {})


def _goals(study: Study) -> dict[str, Any]:
    """Objectives, bounds in the metrics' own units, and the box of the hypervolume."""
    names = [goal.metric for goal in study.objectives]
    ideal, reference = study.ideal, study.search_reference
    bounds = [
        {
            "metric": bound.metric, "op": bound.op, "text": str(bound),
            "bound": _plain(bound_value(bound, reference)),
            "unit": _plain(reference[bound.metric]) if bound.relative else 1.0,
            "member_bound": bound.bound * unit if (unit := _member_unit(study, bound)) is not None else None,
            "member_unit": unit,
        }
        for bound in (study.constraints if can_judge(study) else ())
    ]  # fmt: skip
    return {
        "objectives": [{"metric": goal.metric, "sign": goal.sign} for goal in study.objectives],
        "constraints": bounds,
        "reference": [_plain(reference.get(name)) for name in names],
        "ideal": None if ideal is None else [_plain(ideal[name]) for name in names],
    }


def _member_unit(study: Study, bound: Constraint) -> float | None:
    """What a bound on a member of the front is written in: 1, or the untouched model's value, measured as it was."""
    return _plain(study.member_reference.get(bound.metric)) if bound.relative else 1.0


def _recommended(study: Study, scene: Scene) -> dict[str, Any] | None:
    """By what the recommended member keeps the bounds: ``key``, and for each bound its value and standard error."""
    if scene.choice.position is None:
        return None
    best = rows(scene.members)[scene.choice.position]
    key = member_key if study.is_finished else mean_key if is_repeated(study.candidates) else point_key
    return {
        "key": key(best["trial_id"], int(best["step"])),
        "values": [_plain(best.get(bound.metric)) for bound in study.constraints],
        "errors": [_plain(margin_error(best, bound, study.member_reference)) for bound in study.constraints],
        "num_stderr": NUM_STDERR,
    }


def _table(study: Study, table: pd.DataFrame, key: Any) -> dict[str, Any]:
    if table.empty:
        return {"key": [], "trial": [], "step": [], "method": [], "settings": {}, "values": {}, "errors": {}}
    places = list(zip(table["trial_id"], table["step"], strict=True))
    metrics = [metric for metric in study.config.metrics if metric in table]
    columns = {
        "key": [key(trial, int(step)) for trial, step in places],
        "trial": [str(trial) for trial, _ in places],
        "step": [int(step) for _, step in places],
        "method": [str(method) for method in table["method"]],
        "settings": _numbers(table, parameter_columns(study, table)),
        "values": _numbers(table, metrics),
        "errors": {metric: values for metric, values in _numbers(table, metrics, STDERR).items() if values},
    }
    for name in ("seed", NUM_REPEATS, "rung"):
        if name in table:
            columns[name] = [int(value) for value in table[name]]
    if "candidate" in table:
        columns["candidate"] = [bool(value) for value in table["candidate"]]
    return columns


def _numbers(table: pd.DataFrame, names: Sequence[str], suffix: str = "") -> dict[str, list[float | None]]:
    return {
        name: [_plain(value) for value in pd.to_numeric(table[name + suffix], errors="coerce")]
        if name + suffix in table
        else []
        for name in names
    }


def _baseline(study: Study, of: Mapping[str, Measured]) -> dict[str, list[float | None]]:
    """metric → value and standard error."""
    return {metric: [_plain(of[metric].value), _plain(of[metric].stderr)] for metric in study.config.metrics
            if metric in of}  # fmt: skip


def _plain(value: object) -> float | None:
    """A finite number, or None."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else None
