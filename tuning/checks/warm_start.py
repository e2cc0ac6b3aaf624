"""Whether the studies that a study is to begin with are there, can be read, and have something to tell it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.checks.spaces import known_spaces
from tuning.files import StudyFiles
from tuning.goals import Constraint, Objective
from tuning.paths import absolute, name_problems
from tuning.problems import Problem
from tuning.schema import is_remote, local_directory

if TYPE_CHECKING:
    from analysis.load import Study
    from tuning.transfer import Target

_READABLE = "warm_start must name studies that can be read"
_CHECK = "check the name, the path and --storage-path"


def resolved(study: str, storage_path: str) -> str:
    """The directory of a study that ``warm_start`` names: from the current directory, else in the storage path."""
    if is_remote(study):
        return study
    here, stored = absolute(study), absolute(str(local_directory(storage_path))) / study
    found = os.path.isfile(StudyFiles(here).study)  # unlike Path.is_file, False for what can be no path
    chosen = here if found or name_problems(study) else stored
    return os.path.normpath(chosen)


def study_problems(warm_start: Sequence[str], storage_path: str, name: str, resume: bool) -> list[Problem]:
    """Whether each study is another one on this machine, and can be read; of a resumed study, what it wrote down."""
    files = StudyFiles(local_directory(storage_path) / name)
    if not warm_start:
        return []
    if resume and files.study.is_file() and _has_begun(files):
        return _recorded_problems(files)
    problems = []
    if len(set(warm_start)) < len(warm_start):
        rule = "warm_start must name every study once"
        problems.append(Problem(rule, ", ".join(warm_start), "remove the repeated one"))
    for root in dict.fromkeys(warm_start):
        problems += _problems_of(root, files)
    return problems


def _has_begun(files: StudyFiles) -> bool:
    return files.warm_start.exists() or files.trials.exists()


def _recorded_problems(files: StudyFiles) -> list[Problem]:
    from analysis.load import StudyError
    from tuning.warm_start import load

    rule = "a resumed study must know what it took when it began"
    remedy = "put the file back, or start a new study with another --name"
    if not files.warm_start.is_file():
        return [Problem(rule, f"{files.warm_start}, which is not there", remedy)]
    try:
        load(files)
    except StudyError as error:
        return [Problem(rule, str(error), remedy)]
    return []


def _problems_of(root: str, files: StudyFiles) -> list[Problem]:
    if is_remote(root):
        rule = "warm_start must name studies on this machine, since their files are read here"
        remedy = "copy study.yaml, baseline.json and the .csv files of that study here, and give their directory"
        return [Problem(rule, root, remedy)]
    if "\0" not in root and os.path.realpath(root) == os.path.realpath(files.root):
        rule = "warm_start must name other studies than the one that is started"
        return [Problem(rule, root, "leave it out; --resume goes on with a study")]
    if not os.path.isfile(StudyFiles(Path(root)).study):
        return [Problem(_READABLE, f"{root}, which has no study.yaml", _CHECK)]
    opened = _opened(root)
    return [opened] if isinstance(opened, Problem) else []


def _opened(root: str) -> Study | Problem:
    """The study of a directory, or why it cannot be read."""
    from analysis.load import StudyError, load_study

    try:
        return load_study(root)
    except (StudyError, OSError) as error:
        return _unreadable(root, error)


def _unreadable(root: str, error: Exception) -> Problem:
    return Problem(_READABLE, f"{root} ({error})", "repair or copy the file again, or leave the study out")


def content_problems(
    warm_start: Sequence[str],
    storage_path: str,
    name: str,
    resume: bool,
    methods: tuple[str, ...],
    objectives: tuple[Objective, ...],
    constraints: tuple[Constraint, ...],
    fix: Mapping[str, float],
) -> list[Problem]:
    """Whether each study that can be read has the same objectives, and a trial that can be taken."""
    files = StudyFiles(local_directory(storage_path) / name)
    if not warm_start or (resume and _has_begun(files)):
        return []
    from tuning.transfer import Target

    methods = tuple(space.method for space in known_spaces(methods))  # the others are another check's finding
    target = Target(methods, objectives, constraints, fix)
    readable = [root for root in dict.fromkeys(warm_start) if not _problems_of(root, files)]
    opened = [_opened(root) for root in readable]
    return [problem for study in opened if not isinstance(study, Problem) for problem in _told(study, target)]


def _told(study: Study, target: Target) -> list[Problem]:
    from analysis.load import StudyError
    from tuning.transfer import transfer

    root = str(study.files.root)
    if set(study.objectives) != set(target.objectives):
        rule = "a study of warm_start must have the same objectives, since only then its values can be compared"
        given = f"{root} with {_listed(study.objectives)}, not {_listed(target.objectives)}"
        return [Problem(rule, given, "leave it out, or give the same --objectives")]
    try:
        taken = transfer(study, target)
    except StudyError as error:
        return [_unreadable(root, error)]
    if taken.trials:
        return []
    rule = "a study of warm_start must have a finished trial that has its place in this study"
    return [Problem(rule, f"{root}, {taken.omissions}", "leave it out, or search over its methods and ranges")]


def _listed(objectives: Sequence[Objective]) -> str:
    return ", ".join(map(str, objectives))
