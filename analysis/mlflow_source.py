"""A study out of an MLflow store, for those who see the store and not the disk that the study is on.

When a study ends its files go to the artifact folder ``study`` of its run. Who can write to the store decides what they
hold, so that they are taken as anything else from elsewhere: known names only, none too large, read by `load_study`.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from analysis.load import Study, StudyError, load_study
from tuning.files import StudyFiles
from tuning.paths import name_problems
from tuning.problems import redact
from tuning.tracking import EXPERIMENT, STUDY_FOLDER
from tuning.tracking.client import apply_settings, open_client

#: Bytes of all files together: reports of some ten thousand trials are a tenth of it.
LARGEST: Final = 1 << 29
#: Runs that are looked at for files, the newest first.
_MOST_RUNS: Final = 50
_SQLITE: Final = "sqlite:///"


def study_from_mlflow(tracking_uri: str, name: str | None = None) -> Study:
    """A study from the files that its run has in MLflow: what `load_study` gives, but for pictures and models.

    Args:
        tracking_uri: an MLflow store, as ``http://127.0.0.1:5000`` or ``sqlite:///runs/mlflow.db``.
        name: the study; none: the newest that has files. Of several studies of a name the newest counts.

    Returns:
        The study, its files in a temporary directory that goes with this process.

    Raises:
        StudyError: the store cannot be read, has no such study or none with files, or a file of it is not a study's.
    """
    if name is not None and (problems := name_problems(name)):
        raise StudyError(str(problems[0]))
    _check_database(tracking_uri)
    apply_settings()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _study(open_client(tracking_uri), tracking_uri, name)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:300]}"
        raise StudyError(
            f"an MLflow store must be one that can be read, but got {redact(tracking_uri)} ({redact(reason)}); check "
            "the address, and whether the server runs"
        ) from error


def _check_database(tracking_uri: str) -> None:
    """MLflow would make a database where there is none."""
    path = Path(tracking_uri.removeprefix(_SQLITE).partition("?")[0])
    if tracking_uri.startswith(_SQLITE) and not path.is_file():
        raise StudyError(
            f"an MLflow database must be there, but {path.absolute()} is not; check the path, which has three slashes "
            "before a relative one and four before an absolute one"
        )


def _study(client: Any, tracking_uri: str, name: str | None) -> Study:
    runs = _runs(client, name)
    for run in runs:
        sizes = _files(client, run.info.run_id)
        if StudyFiles(Path()).study.name in sizes:
            return load_study(_downloaded(client, run, sizes))
    known = ", ".join(sorted({str(run.data.tags.get("study")) for run in runs}))
    wanted = "a study" if name is None else f"the study {name!r}"
    found = f"its runs ({known}) have none" if runs else "there is no run of it"
    raise StudyError(
        f"{wanted} must have files in the artifact folder {STUDY_FOLDER!r} of its run in {redact(tracking_uri)}, but "
        f"{found}; they come when a study has finished: check the name, or read the study's own directory"
    )


def _runs(client: Any, name: str | None) -> list[Any]:
    """The newest runs of studies, those of trials left out."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    # A name that passed `name_problems` has no quote in it.
    query = "tags.trial_id IS NULL AND tags.study " + ("IS NOT NULL" if name is None else f"= '{name}'")
    order = ["attributes.start_time DESC"]
    return list(client.search_runs([experiment.experiment_id], query, max_results=_MOST_RUNS, order_by=order))


def _files(client: Any, run_id: str) -> dict[str, int]:
    """File name → bytes, of those that a study has."""
    names = {f"{STUDY_FOLDER}/{path.name}": path.name for path in StudyFiles(Path()).told}
    listed = client.list_artifacts(run_id, STUDY_FOLDER)
    return {names[info.path]: int(info.file_size or 0) for info in listed if info.path in names and not info.is_dir}


def _downloaded(client: Any, run: Any, sizes: Mapping[str, int]) -> Path:
    """The directory with a run's files, named like the study."""
    called = str(run.data.tags.get("study"))
    _check_size(called, sum(sizes.values()))
    place = Path(tempfile.mkdtemp(prefix="study-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    root = place / ("study" if name_problems(called) else called)
    root.mkdir()
    for name in sizes:
        with tempfile.TemporaryDirectory(dir=place) as arriving:
            arrived = Path(client.download_artifacts(run.info.run_id, f"{STUDY_FOLDER}/{name}", arriving))
            if arrived.is_symlink() or not arrived.is_file():
                raise StudyError(f"{name} of a study must be a file, but MLflow has something else; copy it again")
            _check_size(called, sum(path.stat().st_size for path in (arrived, *root.iterdir())))
            shutil.move(arrived, root / name)
    return root


def _check_size(study: str, num_bytes: int) -> None:
    if num_bytes > LARGEST:
        raise StudyError(
            f"the files of a study must have at most {LARGEST >> 20} MiB together, but those of {study!r} in MLflow "
            f"have {num_bytes >> 20}; read the study's own directory"
        )
