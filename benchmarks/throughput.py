"""How many trials at a time one driver serves: trials that train nothing, through Ray, with PostgreSQL behind it.

Everything that a study's driver does for a report is done: the searcher's storage, the records on disk, MLflow's queue,
the front. Each trial reports once a period, so that so many trials at a time offer so many reports a second; the knee
is where the driver takes fewer than are offered, and reports begin to wait.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import ray
from ray import tune
from ray.tune import Callback, RunConfig, TuneConfig
from ray.tune.experiment import Trial

from benchmarks.idle_trial import STEPS, Idle
from benchmarks.postgresql import NoServerError, own_server
from benchmarks.synthetic import GOALS, METHODS, make_search
from benchmarks.table import Result
from search_spaces import space_of
from tuning.callback import StudyCallback
from tuning.files import StudyFiles
from tuning.records import Records
from tuning.search_generator import StudySearchGenerator
from tuning.tracking import Tracker
from tuning.workers import start_ray

CONCURRENT: Final = (8, 32, 96)
#: Seconds between two reports of a trial.
PERIOD: Final = 2.0
#: Trials that each place runs one after another. The first are not measured: they begin together.
TURNS: Final = 6
_MEGABYTE: Final = 2**20


@dataclass
class Meter(Callback):  # type: ignore[misc]
    """When reports came, how old they were, and what the driver held; after the first turn of every place.

    Attributes:
        warm_up: reports that do not count.
        came: when the others did, in seconds.
        waited: how old they were, in seconds.
        memory: what the driver held then, in bytes.
        workers: what the workers of that time held for themselves, in bytes.
    """

    warm_up: int
    came: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    workers: int = 0

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self.warm_up -= 1
        if self.warm_up == 0:
            self.workers = _memory_of_workers()
        if self.warm_up < 0:
            self.came.append(time.monotonic())
            self.waited.append(time.time() - result["sent"])
            self.memory.append(psutil.Process().memory_info().rss)

    @property
    def rate(self) -> float:
        """Reports a second, from the first that counts to the last trial's end but one turn of a place."""
        middle = self.came[: max(2, int(0.9 * len(self.came)))]  # at the end places fall empty
        return (len(middle) - 1) / (middle[-1] - middle[0])


def run(concurrent: Sequence[int] = CONCURRENT, period: float = PERIOD, turns: int = TURNS) -> Iterator[Result]:
    """One table, with a row for each number of trials at a time.

    Args:
        concurrent: trials at a time.
        period: seconds between two reports of a trial.
        turns: trials that each place runs.
    """
    rows, note = [], ""
    try:
        for number in concurrent:
            rows.append(_measured(number, period, turns))
    except NoServerError as error:
        note = str(error)
    yield Result(
        f"Trials at a time through Ray, on {os.cpu_count()} cores: a report of each every {period:g} s",
        ("at a time", "offered/s", "taken/s", "waited ms: median", "95%", "driver MB: first", "last", "workers GB"),
        rows,
        note or "Optuna's storage and MLflow's store are PostgreSQL; reports count once all processes have started.",
    )


def _measured(concurrent: int, period: float, turns: int) -> tuple[str, ...]:
    meter = Meter(warm_up=concurrent * len(STEPS))
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "study"
        server = stack.enter_context(own_server())
        start_ray("local")
        stack.callback(ray.shutdown)
        study = Study(root, server.add_database("optuna"), server.add_database("mlflow"), concurrent * turns)
        study.run(concurrent, period, meter)
    late = statistics.quantiles([1e3 * seconds for seconds in meter.waited], n=20)
    return (
        str(concurrent),
        f"{concurrent / period:.1f}",
        f"{meter.rate:.1f}",
        f"{late[9]:.0f}",
        f"{late[18]:.0f}",
        f"{meter.memory[0] / _MEGABYTE:.0f}",
        f"{meter.memory[-1] / _MEGABYTE:.0f}",
        f"{meter.workers / 2**30:.1f}",
    )


@dataclass(frozen=True)
class Study:
    """A study of trials that train nothing.

    Attributes:
        root: its directory.
        optuna: URL of Optuna's storage.
        mlflow: URL of MLflow's store.
        num_trials: of all.
    """

    root: Path
    optuna: str
    mlflow: str
    num_trials: int

    def run(self, concurrent: int, period: float, meter: Meter) -> None:
        """All trials, ``concurrent`` at a time."""
        parameters = list(dict.fromkeys(p.name for method in METHODS for p in space_of(method).parameters))
        files, search = StudyFiles(self.root), make_search(self.optuna, self.num_trials)
        gate = self.root.parent / "gate"
        gate.mkdir()
        settings: dict[str, Any] = {"constraints": GOALS.constraints, "baseline": GOALS.baseline}
        records = Records(files, parameters=parameters, metrics=("sscd", "nll", "fid"), **settings)
        url = self.mlflow.replace("postgresql://", "postgresql+psycopg://")
        tracker = Tracker(files, study="idle", workload="none", parameters=parameters, tracking_uri=url)
        callback = StudyCallback(records, GOALS, num_trials=self.num_trials, tracker=tracker, outcome=search.outcome)
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(Idle, period=period, gate=gate, places=concurrent), {"CPU": 0.001}
            ),
            tune_config=TuneConfig(
                search_alg=StudySearchGenerator(search, max_concurrent=concurrent),
                num_samples=self.num_trials,
                reuse_actors=True,
            ),
            run_config=RunConfig(name="ray", storage_path=str(self.root), callbacks=[meter, callback], verbose=0),
        )
        tuner.fit()
        tracker.close()


def _memory_of_workers() -> int:
    """Bytes that the workers of this process have for themselves, what they share left out."""
    found = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if Idle.__name__ in process.name() or Idle.__name__ in " ".join(process.cmdline()):
                found += process.memory_full_info().uss
    return found
