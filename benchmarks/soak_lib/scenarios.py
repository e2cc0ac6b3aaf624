"""What is done to studies, by name: with which services a study runs, and what happens to it or to them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.postgresql import own_server
from benchmarks.soak_lib import service_faults as faults
from benchmarks.soak_lib.mlflow_server import MlflowServer
from benchmarks.soak_lib.running import RunningStudy

NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Setting:
    """How a study is started, what is done to it, and where its trials are looked for afterwards.

    Attributes:
        inject: does the fault to the running study, and puts right what the study cannot.
        flags: of the launch command.
        resume_flags: of the launch command on a resume, after ``flags``.
        environment: besides this process's own.
        optuna_storage: None is the study's journal.
        mlflow_tracking_uri: None is the store beside the study.
    """

    inject: Callable[[RunningStudy], None]
    flags: Sequence[str] = ()
    resume_flags: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    optuna_storage: str | None = None
    mlflow_tracking_uri: str | None = None


#: A folder of its own → the setting, as a context that ends its services.
Scenario = Callable[[Path], AbstractContextManager[Setting]]


def alone(inject: Callable[[RunningStudy], None]) -> Scenario:
    """A study without services."""

    @contextmanager
    def scenario(folder: Path) -> Iterator[Setting]:
        yield Setting(inject)

    return scenario


@contextmanager
def mlflow_away(folder: Path) -> Iterator[Setting]:
    """A server that is killed and comes back."""
    server = MlflowServer(folder, f"sqlite:///{folder / 'server.db'}")
    server.start()
    try:
        yield Setting(
            lambda study: faults.mlflow_down_and_back(server),
            ("--mlflow-tracking-uri", server.url),
            mlflow_tracking_uri=server.store,
        )
    finally:
        server.kill()


@contextmanager
def mlflow_dead(folder: Path) -> Iterator[Setting]:
    """A server that never answers; a resume tells another store."""
    store = f"sqlite:///{folder / 'later.db'}"
    yield Setting(
        faults.kill_driver,
        ("--mlflow-tracking-uri", NOBODY),
        ("--mlflow-tracking-uri", store),
        mlflow_tracking_uri=store,
    )


@contextmanager
def postgresql_restarted(folder: Path) -> Iterator[Setting]:
    """Optuna's storage and MLflow's store on a server that is restarted."""
    with own_server() as server:
        store = server.add_database("mlflow").replace("postgresql://", "postgresql+psycopg://", 1)
        yield Setting(
            lambda study: faults.restart_postgresql(server),
            ("--optuna-storage", server.url, "--mlflow-tracking-uri", store),
            optuna_storage=server.url,
            mlflow_tracking_uri=store,
        )


@contextmanager
def sqlite_locked(folder: Path) -> Iterator[Setting]:
    """Optuna's storage in a SQLite file that another process holds for a while."""
    database = folder / "optuna.db"
    storage = f"sqlite:///{database}"
    yield Setting(
        lambda study: faults.lock_sqlite(database, 2 * faults.AWAY_SECONDS),
        ("--optuna-storage", storage),
        optuna_storage=storage,
    )


@contextmanager
def clock_steps_back(folder: Path) -> Iterator[Setting]:
    """The wall clock goes back by an hour."""
    file = folder / "step"
    yield Setting(lambda study: faults.step_clock_back(file), environment=faults.clock_environment(file))


#: Every kind of fault, by name. What happens to a study without services is one line: ``"name": alone(function)``.
SCENARIOS: Mapping[str, Scenario] = {
    "SIGINT": alone(faults.interrupt),
    "SIGTERM": alone(partial(faults.interrupt, number=signal.SIGTERM)),
    "Ctrl-C in a terminal": alone(faults.press_ctrl_c),
    "SIGINT twice": alone(faults.interrupt_twice),
    "driver killed": alone(faults.kill_driver),
    "whole cluster killed": alone(faults.kill_cluster),
    "journal lock left behind": alone(faults.leave_journal_lock),
    "MLflow down and back": mlflow_away,
    "MLflow never there": mlflow_dead,
    "PostgreSQL restarted": postgresql_restarted,
    "SQLite locked": sqlite_locked,
    "clock back": clock_steps_back,
}
