"""Whether a study that is resumed still has what its front is made of."""

from __future__ import annotations

from trainable.depot import Depot, UnreachableError
from tuning.checks.depots import unreachable
from tuning.files import StudyFiles
from tuning.problems import Problem
from tuning.schema import is_remote, local_directory

_SHOWN = 3


def weights_problems(storage_path: str, name: str, resume: bool) -> list[Problem]:
    """Whether the weights behind every feasible report are there: any of them may be measured again for the front."""
    files = StudyFiles(local_directory(storage_path) / name)
    if not resume or not files.reports.is_file():
        return []
    depot = Depot(files.root, storage_path if is_remote(storage_path) else None)
    try:
        kept = {name.removesuffix(".safetensors") for name in depot.entries(files.candidates)}
    except UnreachableError as error:
        return [unreachable(storage_path, error)]
    missing = [member for member in _members(files) if member not in kept]
    if not missing:
        return []
    rule = "a resumed study must have the weights of its feasible reports, since its front is measured again"
    shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
    remedy = "put the files back, or start a new study that takes this one's trials over with --warm-start"
    return [Problem(rule, f"{depot.location}/{files.candidates.name} without {shown}", remedy)]


def _members(files: StudyFiles) -> list[str]:
    """Names of the candidates that the search found feasible; none where the table cannot be read."""
    from tuning.record_tables import RecordsError, read_table

    try:
        reports = read_table(files.reports)
    except (ValueError, RecordsError):  # opening the records reports it
        return []
    if not {"trial_id", "step", "feasible", "candidate"} <= set(reports):
        return []
    chosen = reports[(reports["feasible"] == True) & (reports["candidate"] == True)]  # noqa: E712
    return [files.candidate(str(t), int(s)).name for t, s in zip(chosen["trial_id"], chosen["step"], strict=True)]
