"""In which setting a fault is done to a study: how it is started, with which services, and where it is looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak_lib.machines import Machines
from benchmarks.soak_lib.running import RunningStudy


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
        machines: on which it runs; None is this one.
        storage: where it is kept; None is a folder of its own.
        last_moment: reports after which it is too late for the fault; None is shortly before the end.
    """

    inject: Callable[[RunningStudy], object]
    flags: Sequence[str] = ()
    resume_flags: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    optuna_storage: str | None = None
    mlflow_tracking_uri: str | None = None
    machines: Machines | None = None
    storage: Path | None = None
    last_moment: int | None = None


#: A folder of its own → the setting, as a context that ends its services.
Scenario = Callable[[Path], AbstractContextManager[Setting]]


def alone(inject: Callable[[RunningStudy], object]) -> Scenario:
    """A study without services."""

    @contextmanager
    def scenario(folder: Path) -> Iterator[Setting]:
        yield Setting(inject)

    return scenario
