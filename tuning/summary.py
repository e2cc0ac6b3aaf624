"""What stands on the terminal when a study is over: the front, the model to take home, and where everything is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from analysis.table import rows
from tuning.constraints import RATIO
from tuning.front_table import front_table
from tuning.problems import redact

if TYPE_CHECKING:
    from tuning.goals import Constraint
    from tuning.schema import StudyConfig
    from tuning.study import StudyResult


def final_summary(console: Console, result: StudyResult, config: StudyConfig) -> None:
    """The front as a table, the recommended member with its rule, the files, and how to open MLflow.

    Args:
        console: where to write.
        result: what the study came to.
        config: its configuration.
    """
    members = rows(result.front)
    position = None if result.recommendation is None else result.recommendation.position
    console.print()
    if members:
        goals = [o.metric for o in config.objectives] + [_shown(c, members[0]) for c in config.constraints]
        _line(console, f"Front of {config.name}, re-measured; hypervolume {result.hypervolume:.3f}")
        console.print(front_table(members, list(dict.fromkeys(goals)), marked=position))
    else:
        _line(console, f"The front of {config.name} is empty: no candidate keeps every bound when measured again.")
    if result.recommendation is not None:
        _recommendation(console, result, None if position is None else members[position])
    _files(console, result)
    _line(console, f"Runs:         {mlflow_line(result.tracking_uri)}")


def _shown(constraint: Constraint, member: Mapping[str, Any]) -> str:
    """What is compared with a bound: the ratio to the untouched model of a relative one, where it was measured."""
    ratio = constraint.metric + RATIO
    return ratio if constraint.relative and ratio in member else constraint.metric


def mlflow_line(tracking_uri: str) -> str:
    """What to type, or where to look, to see the runs of a store; a password in it is not shown."""
    shown = redact(tracking_uri)
    if tracking_uri.startswith(("http://", "https://")):
        return shown
    return f"mlflow ui --backend-store-uri {shlex.quote(shown)}"


def _recommendation(console: Console, result: StudyResult, member: Mapping[str, Any] | None) -> None:
    if result.recommendation is None:
        return
    if member is not None:
        checkpoint = f"{result.location}/{member['checkpoint']}"
        _line(console, f"Recommended:  trial {member['trial_id']} at step {int(member['step'])}, {checkpoint}")
    _line(console, result.recommendation.rule)


def _files(console: Console, result: StudyResult) -> None:
    files = result.files
    named = (("Report", files.report), ("Front", files.front), ("Reports", files.reports), ("Trials", files.trials))
    for name, path in named:
        _line(console, f"{name + ':':<14}{path}")
    _line(console, f"{'Models:':<14}{result.location}/{files.checkpoints.name}")


def _line(console: Console, text: str) -> None:
    """One line, not broken, so that paths and commands can be copied."""
    console.print(Text(text), soft_wrap=True)
