"""Which model of a study a command is about: the recommended one, or one that is named by its trial and step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.load import Study, StudyError
from analysis.scene import choose, front_members
from analysis.table import numeric, rows

#: Reports that an error lists.
_LISTED = 12


@dataclass(frozen=True)
class Member:
    """One model of a study.

    Attributes:
        trial_id: as the study writes it.
        step: optimiser steps.
        row: its report, with method, parameters and seed.
        is_on_front: whether it is a member of the front.
        why: the rule that chose it, or that it was named.
    """

    trial_id: str
    step: int
    row: dict[str, Any]
    is_on_front: bool
    why: str

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.trial_id}-{self.step}"


def find_member(study: Study, trial: str | None = None, step: int | None = None) -> Member:
    """The model that is asked for; without a trial the recommended member of the front.

    Args:
        study: as `load_study` reads it.
        trial: a trial id; leading zeros may be left out.
        step: which of its reports; may be left out where one alone can be meant: its only one, or the only one on the
            front.

    Raises:
        StudyError: there is no such report, or none is recommended; says which there are.
    """
    if study.reports.empty:
        raise StudyError(f"a model must have been reported on, but {study.files.reports} has no report; wait for one")
    members = front_members(study)
    if trial is None:
        if step is not None:
            raise StudyError(f"a step must be one of a trial, but got --step {step} alone; give --trial too")
        choice = choose(study, members)
        if choice.position is None:
            raise StudyError(f"{choice.rule} Name a model by --trial and --step: {_known(study.reports)}")
        chosen = rows(members)[choice.position]
        return _member(study, members, str(chosen["trial_id"]), int(chosen["step"]), choice.rule)
    trial_id = _trial_id(study, trial)
    return _member(study, members, trial_id, _step(study, members, trial_id, step), "named")


def _trial_id(study: Study, given: str) -> str:
    known = list(dict.fromkeys(study.reports["trial_id"]))
    if given in known:
        return given
    matching = [name for name in known if given.isdigit() and name.isdigit() and int(name) == int(given)]
    if not matching:
        raise StudyError(
            f"a trial must be one that reported, but got {given!r}; {study.name} has {_listed(map(str, known))}"
        )
    return str(matching[0])


def _step(study: Study, members: pd.DataFrame, trial_id: str, given: int | None) -> int:
    steps = _steps(study.reports, trial_id)
    if given is not None:
        if given not in steps:
            raise StudyError(
                f"a step must be one at which trial {trial_id} reported, but got {given}; it has "
                f"{_listed(map(str, steps))}"
            )
        return given
    for candidates in (steps, _steps(members, trial_id) if "trial_id" in members else []):
        if len(candidates) == 1:
            return candidates[0]
    raise StudyError(
        f"a model must be named by its step too, since trial {trial_id} reported at {_listed(map(str, steps))}; "
        "give --step"
    )


def _steps(table: pd.DataFrame, trial_id: str) -> list[int]:
    return sorted({int(row["step"]) for row in rows(table) if row["trial_id"] == trial_id})


def _member(study: Study, members: pd.DataFrame, trial_id: str, step: int, why: str) -> Member:
    steps = numeric(study.reports, ["step"])[:, 0] == step
    found = rows(study.reports[steps & (study.reports["trial_id"] == trial_id).to_numpy()])
    on_front = "trial_id" in members and step in _steps(members, trial_id)
    return Member(trial_id, step, found[0], on_front, why)


def _known(reports: pd.DataFrame) -> str:
    steps: dict[str, list[str]] = {}
    for row in rows(reports):
        steps.setdefault(str(row["trial_id"]), []).append(str(int(row["step"])))
    return _listed(f"{trial} at {', '.join(of)}" for trial, of in steps.items())


def _listed(names: Any) -> str:
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return "; ".join(every[:_LISTED]) + more
