"""The terminal while a study runs and when it is over, made again from the study's files, as SVG."""

from __future__ import annotations

import io
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from analysis.front import hypervolume
from analysis.growing_front import GrowingFront
from analysis.load import Study
from analysis.scene import compose
from analysis.table import rows
from tuning.events import Event, EventName, read_events
from tuning.files import StudyFiles
from tuning.records import TrialState
from tuning.study import StudyResult
from tuning.study_status import TRIALS
from tuning.summary import final_summary
from tuning.terminal import StudyView
from tuning.timing import Timing

WIDTH: Final = 96
#: Where the picture of a running study is taken: when so large a part of the last launch's reports had come.
SHARE: Final = 0.6
#: What rich loads from the network for an SVG.
_FONT: Final = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)


def terminal_svg(study: Study) -> str:
    """What the terminal showed in the middle of the trials, and below it the end; the latter of a finished study only.

    Places are shown as those of a study in ``runs``, whatever machine it ran on.
    """
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False, force_terminal=True)
    view = _view(study)
    if view is not None:
        console.print(view.render())
    if study.is_finished:  # its long lines are not broken on a terminal, but would be cut off here
        lines = io.StringIO()
        summarised = Console(width=WIDTH, file=lines, highlight=False, force_terminal=True)
        final_summary(summarised, _result(study), study.config)
        console.print(Text.from_ansi(lines.getvalue()))
    return _FONT.sub("", console.export_svg(title="make tune", font_aspect_ratio=0.6))


class _Clock:
    """Seconds by the events of a launch."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _view(study: Study) -> StudyView | None:
    """The view as it was in the middle of the study's reports; None where no event tells of any."""
    events = list(read_events(study.files.events))
    reports = [event.time for event in events if event.name == EventName.REPORT]
    if not reports:
        return None
    events = [event for event in events if event.time <= sorted(reports)[int(SHARE * (len(reports) - 1))]]
    launched = [event.time for event in events if event.name == EventName.STUDY_STARTED] or [events[0].time]
    clock, quiet = _Clock(), Console(file=io.StringIO(), width=WIDTH)
    view = StudyView(quiet, study.name, metrics=study.config.judged_metrics, clock=clock)
    _replay(view, study, events, clock, launched[-1])
    return view


def _replay(view: StudyView, study: Study, events: list[Event], clock: _Clock, launched: datetime) -> None:
    """Tell the view what happened; what happened before the last launch only counts."""
    ended: Counter[bool] = Counter()  # whether it failed
    running: Counter[str | None] = Counter()  # trial → reports
    front = GrowingFront(study.goals)
    measured = {(str(row["trial_id"]), row["step"]): row for row in rows(study.candidates)}
    stage = ""
    for event in events:
        clock.now = max(0.0, (event.time - launched).total_seconds())
        if event.name == EventName.STUDY_STARTED:
            running.clear()
        elif event.name == EventName.STAGE and event.facts.get("stage") != stage and event.time >= launched:
            stage = str(event.facts["stage"])
            view.stage(stage, event.facts.get("total"))
        elif event.name in (EventName.TRIAL_STARTED, EventName.RESUMED, EventName.RETRIED):
            running[event.trial_id] = sum(trial == event.trial_id and step <= event.facts.get("after_step", 0)
                                          for trial, step in measured)  # fmt: skip
        elif event.name == EventName.REPORT:
            running[event.trial_id] += 1
            if (row := measured.get((str(event.trial_id), event.facts.get("step")))) is not None and front.add(row):
                view.front(front.members, front.hypervolume if study.ideal else 0.0)
        elif event.name == EventName.TRIAL_ENDED and event.facts.get("state") != TrialState.STOPPED:
            running.pop(event.trial_id, None)
            ended[event.facts.get("state") == TrialState.FAIL] += 1
        if stage == TRIALS:
            under_way = running.total() / len(study.config.rungs)
            view.trials(len(running), ended[False], ended[True], study.config.num_trials, under_way=under_way)


class _Shown(StudyFiles):
    """A study's files by the paths that a user types, which are not absolute."""

    def __post_init__(self) -> None:
        pass


def _result(study: Study) -> StudyResult:
    scene, place = compose(study), Path("runs") / study.name
    value = 0.0
    if study.ideal is not None and not study.front.empty:
        value = hypervolume(study.front, study.objectives, study.untouched, study.ideal)
    return StudyResult(
        files=_Shown(place),
        location=str(place),
        front=scene.members.reset_index(drop=True),
        recommendation=scene.choice,
        hypervolume=value,
        timing=Timing(0.0, 0.0, 0.0, 0, 0.0),
        tracking_uri="sqlite:///runs/mlflow.db",
    )
