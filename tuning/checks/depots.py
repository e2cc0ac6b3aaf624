"""Whether a study can be started in an object store, or resumed from one; asks the store and writes nothing to it."""

from __future__ import annotations

from pathlib import Path

from trainable.depot import Depot, UnreachableError
from tuning.files import StudyFiles
from tuning.mirror.taking_over import Told, bring_back, nobody
from tuning.paths import name_problems
from tuning.problems import Problem, has_password
from tuning.schema import is_remote, local_directory


def unreachable(storage_path: str, error: UnreachableError) -> Problem:
    """What is wrong with a store that does not answer."""
    remedy = "check the URL, the region and the keys in the environment, and that the bucket exists"
    return Problem("storage_path must be an object store that answers", f"{storage_path} ({error})", remedy)


def _can_be_asked(storage_path: str) -> bool:
    """Whether it is a store, and one that is not refused for the password in its URL."""
    return is_remote(storage_path) and not has_password(storage_path)


def new_study_problems(storage_path: str, name: str, resume: bool) -> list[Problem]:
    """Whether the store has no study of that name yet; of a resumed one `records_problems` speaks."""
    if resume or not _can_be_asked(storage_path) or name_problems(name):
        return []
    depot = Depot(Path.cwd() / local_directory(storage_path) / name, storage_path)
    try:
        taken = StudyFiles(depot.root).study.name in depot.entries(depot.root)
    except UnreachableError as error:
        return [unreachable(storage_path, error)]
    remedy = "give another --name, or --resume to go on with it"
    return [Problem("a study's name must be new", f"{depot.location}, which exists", remedy)] if taken else []


def records_problems(storage_path: str, name: str, told: Told = nobody) -> list[Problem]:
    """Have a study's records on this machine before it is resumed, and say what kept them away."""
    if not _can_be_asked(storage_path):
        return []
    try:
        bring_back(storage_path, Path.cwd() / local_directory(storage_path) / name, told)
    except UnreachableError as error:
        return [unreachable(storage_path, error)]
    return []
