"""How studies stand, drawn for people, and written down for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuning.front_table import front_table
from tuning.launches import Rate
from tuning.records import TrialState
from tuning.remaining import duration
from tuning.study_status import StudyDetails, StudyStatus

_BARS: Final = "▁▂▃▄▅▆▇█"
_DASH: Final = "–"
_STYLES: Final = {"running": "green", "interrupted": "yellow", "failed": "red", "unreadable": "red"}


def overview(studies: Sequence[StudyStatus]) -> RenderableType:
    """A table with a row for each study, and below it why one cannot be read or has failed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("study", "state", "stage"):
        table.add_column(name)
    for name in ("trials", "running", "failed", "reports", "trials/h", "reports/h", "front", "hypervolume", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for study in studies:
        table.add_row(Text(study.name), Text(study.state, _STYLES.get(study.state, "")), *map(Text, _cells(study)))
    reasons = [_whole(f"{study.name}: {study.reason}") for study in studies if study.reason]
    return Group(table, *reasons)


def _cells(study: StudyStatus) -> list[str]:
    if study.trials is None:
        return [_DASH] * 10
    counts = [study.trials.get(state, 0) for state in (TrialState.RUNNING, TrialState.FAIL)]
    return [
        study.stage or _DASH,
        f"{study.num_ended}/{study.num_trials}",
        *map(str, (*counts, study.num_reports)),
        *_rates(study.recent or study.overall),
        _DASH if study.num_members is None else str(study.num_members),
        _number(study.hypervolume),
        _DASH if study.seconds_left is None else duration(study.seconds_left),
    ]


def _rates(rate: Rate | None) -> tuple[str, str]:
    return (_DASH, _DASH) if rate is None else (f"{rate.trials_per_hour:.1f}", f"{rate.reports_per_hour:.1f}")


def _number(value: float | None) -> str:
    return _DASH if value is None or not math.isfinite(value) else f"{value:.3f}"


def one_study(study: StudyStatus) -> RenderableType:
    """All that is known of one study."""
    details = study.details
    if details is None:
        return overview([study])
    parts: list[RenderableType] = [_headline(study), _whole(details.directory)]
    parts += [Text(line) for line in (*_progress(study), *_times(details))]
    if details.methods:
        parts += [Text(""), _methods(details)]
    parts += _reasons("Failed", details.failures) + _reasons("Ended early", details.endings)
    parts += [Text(""), *_front(study, details)]
    if details.resume:
        parts += [Text(""), _whole(f"To go on: {details.resume}")]
    return Group(*parts)


def _whole(line: str) -> Text:
    """A line that is not broken, so that it can be copied."""
    return Text(line, no_wrap=True, overflow="ignore")


def _headline(study: StudyStatus) -> Text:
    text = Text.assemble((study.name, "bold"), " · ", (study.state, _STYLES.get(study.state, "")))
    text.append(f" · {study.stage}" if study.stage else "")
    return text.append(f" · {study.reason}" if study.reason else "")


def _progress(study: StudyStatus) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in (study.trials or {}).items())
    lines = [f"Trials: {study.num_ended} of {study.num_trials}{f' ({states})' if states else ''}"]
    lines.append(f"Reports: {study.num_reports}")
    for name, rate in (("in the last hour", study.recent), ("in all", study.overall)):
        if rate is not None:
            lines.append(f"Pace {name}: {_rates(rate)[0]} trials, {_rates(rate)[1]} reports an hour")
    if study.seconds_left is not None:
        lines.append(f"Left: about {duration(study.seconds_left)} of trials; the front is then measured again")
    if study.started is not None and study.updated is not None:
        lines.append(f"Started {_clock(study.started)}, last event {_clock(study.updated)}")
    return lines


def _clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _times(details: StudyDetails) -> list[str]:
    if details.seconds is None:
        return []
    parts = asdict(details.seconds)
    whole = sum(parts.values())
    shares = [f"{name} {duration(value)} ({value / whole:.0%})" for name, value in parts.items() if whole > 0]
    launched = f" in {details.num_launches} launches" if details.num_launches > 1 else ""
    lines = [f"Time of all slots{launched}: {', '.join(shares) or 'none yet'}"]
    return lines + ([f"Largest worker: {details.peak_memory_gb:.2f} GB"] if details.peak_memory_gb else [])


def _methods(details: StudyDetails) -> Table:
    states = [state for state in map(str, TrialState) if any(state in of for of in details.methods.values())]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method")
    for state in states:
        table.add_column(state, justify="right")
    for method, counts in details.methods.items():
        table.add_row(Text(method or _DASH), *(str(counts.get(state, 0)) for state in states))
    return table


def _reasons(title: str, counts: Mapping[str, int]) -> list[Text]:
    if not counts:
        return []
    return [Text(f"{title}: " + ", ".join(f"{count} × {reason}" for reason, count in counts.items()))]


def _front(study: StudyStatus, details: StudyDetails) -> list[RenderableType]:
    kind = "re-measured" if details.is_remeasured else "so far"
    parts: list[RenderableType] = [Text(f"Front {kind}: hypervolume {_number(study.hypervolume)}", "bold")]
    if details.growth:
        parts.append(Text(f"over {details.growth[-1][0]} trials  {sparkline([value for _, value in details.growth])}"))
    if details.front:
        parts.append(front_table(details.front, details.metrics))
    return parts


def sparkline(values: Sequence[float]) -> str:
    """One bar for each value in [0, 1], the largest as high as a bar can be."""
    top = max((value for value in values if math.isfinite(value)), default=0.0)
    if top <= 0:
        return _BARS[0] * len(values)
    steps = [round(value / top * (len(_BARS) - 1)) if math.isfinite(value) else 0 for value in values]
    return "".join(_BARS[max(0, step)] for step in steps)


def as_json(storage_path: str, studies: Sequence[StudyStatus]) -> str:
    """One JSON object on one line; what is not known, or not finite, is null."""
    records = [{**asdict(study), "num_ended": study.num_ended} for study in studies]
    return json.dumps(_plain({"storage_path": storage_path, "studies": records}))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
