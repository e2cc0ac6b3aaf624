"""Whether an Optuna storage that others share can take the study; reads it and writes nothing.

Asked of the launch command, not with the other checks: it takes a connection.
"""

from __future__ import annotations

import os
from typing import Any

from tuning.problems import ConfigError, Problem
from tuning.schema import StudyConfig

_TIMEOUT_SECONDS = 10
_TIMEOUTS = {"postgresql": "connect_timeout", "mysql": "connect_timeout"}


def check_optuna_storage(config: StudyConfig, resume: bool) -> None:
    """Whether ``optuna_storage`` answers and, unless the study is resumed, has no study of its name.

    Raises:
        ConfigError: it does not answer, or the name is taken: another's trials would be taken for this study's.
    """
    storage = config.optuna_storage
    if storage is None:
        return
    has_study = _database_has_study if "://" in storage else _journal_has_study
    try:
        taken = has_study(storage, config.name)
    except _UnreadableError as error:
        rule = "optuna_storage must be a database URL, or a journal file, that can be opened"
        remedy = "check the URL and that the server runs, or leave it out for a journal in the study's directory"
        raise ConfigError([Problem(rule, f"{storage} ({error})", remedy)]) from None
    if taken and not resume:
        rule = "a study's name must be new in optuna_storage, since the trials there would be taken for its own"
        remedy = "give another --name, or --resume with the --storage-path that the study was started with"
        raise ConfigError([Problem(rule, f"{config.name} in {storage}, which has it", remedy)])


class _UnreadableError(Exception):
    """Why a storage cannot be asked."""


def _database_has_study(url: str, name: str) -> bool:
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    from tuning.optuna_store import database_url

    try:
        address = sqlalchemy.make_url(database_url(url))
        if address.get_backend_name() == "sqlite" and not _sqlite_exists(address.database):
            return False
        option = _TIMEOUTS.get(address.get_backend_name())
        arguments: dict[str, Any] = {option: _TIMEOUT_SECONDS} if option else {}
        engine = sqlalchemy.create_engine(address, connect_args=arguments)
        try:
            with engine.connect() as connection:
                if not sqlalchemy.inspect(connection).has_table("studies"):
                    return False
                query = sqlalchemy.text("SELECT 1 FROM studies WHERE study_name = :name")
                return connection.execute(query, {"name": name}).first() is not None
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError, UnicodeError) as error:
        reason = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
        raise _UnreadableError(reason.splitlines()[0]) from None


def _sqlite_exists(database: str | None) -> bool:
    """Whether there is a file, which a connection would make where absent."""
    if not database or os.path.exists(database):
        return bool(database)
    directory = os.path.dirname(os.path.abspath(database))
    if not os.path.isdir(directory):
        raise ValueError(f"{directory} is not there")
    return False


def _journal_has_study(path: str, name: str) -> bool:
    if not os.path.exists(path):
        return False
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        storage = JournalStorage(JournalFileBackend(path))
        return any(study.study_name == name for study in storage.get_all_studies())
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise _UnreadableError(str(error) or type(error).__name__) from None
