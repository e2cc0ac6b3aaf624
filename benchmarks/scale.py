"""What a study costs beside its training as it grows to ten thousand finished trials and a thousand running ones.

Three tables: a suggestion and its end against Optuna's own TPE, the storages side by side, and a whole study of made-up
reports in simulated time. Nothing trains.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import optuna
from optuna.samplers import TPESampler

from benchmarks.postgresql import NoServerError, temporary_server
from benchmarks.simulation import Simulation
from benchmarks.synthetic import (
    CALIBRATION,
    DIMENSIONS,
    GOALS,
    RUNGS,
    filled_study,
    made_up_trials,
    make_search,
    report,
)
from benchmarks.table import Result
from search_spaces import SEARCH_SPACES
from tuning.files import StudyFiles
from tuning.optuna_store import open_storage
from tuning.samplers import METHOD

FINISHED: Final = (100, 1_000, 10_000)
RUNNING: Final = 1_000
#: A URL of a PostgreSQL database of which the tables may be written; without it a server is started for the while.
DATABASE_VARIABLE: Final = "BENCHMARK_DATABASE_URL"
_WARM_UP = 2


def run(
    finished: Sequence[int] = FINISHED,
    running: int = RUNNING,
    repetitions: int = 15,
    stored: int = 1_000,
    trials: int = 10_000,
    workers: int = 1_000,
) -> Iterator[Result]:
    """The three tables, each as soon as it is there.

    Args:
        finished: finished trials, rising.
        running: trials that run meanwhile.
        repetitions: suggestions timed for each row.
        stored: finished trials in the storages that are compared.
        trials: trials of the simulated study.
        workers: trials at a time there.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        yield against_stock(root, finished, running, repetitions)
        yield storages(root, stored, running, repetitions)
        yield simulation(root / "study", trials, workers)


# Against Optuna's own


def against_stock(root: Path, finished: Sequence[int], running: int, repetitions: int) -> Result:
    """A suggestion and its end, ours on a journal file against Optuna's TPE in memory."""
    rows: list[tuple[str, ...]] = []
    first = None
    for count in finished:
        made = made_up_trials(count, running)
        filled_study(root / f"{count}.journal", made)
        ours = _times(_our_cycle(root / f"{count}.journal", count + running + 1_000), repetitions)
        stock = _times(_stock_cycle(made), repetitions)
        median, theirs = statistics.median(ours), statistics.median(stock)
        first = first or median
        growth = f"{median / first:.1f}"
        rows.append((str(count), _quartiles(ours), _quartiles(stock), f"{theirs / median:.1f}", growth))
    return Result(
        f"Suggest and tell with {running} running trials: milliseconds, median (quartiles) of {repetitions}",
        ("finished", "this search, journal file", "TPE of Optuna, in memory", "TPE / this", "growth"),
        rows,
        "This search: one suggestion, four reports and the end, synced to disk. TPE of Optuna: ask and tell, "
        "multivariate, grouped, constant liar.",
    )


def _our_cycle(storage: str | Path, num_trials: int) -> Callable[[], None]:
    search = make_search(storage, num_trials, enqueue=())  # settings to start from would be suggested at no cost

    def cycle() -> None:
        config = search.suggest("")
        if not isinstance(config, dict):
            raise RuntimeError(f"there must be a trial left to suggest, but got {config!r}")
        for rung in range(len(RUNGS) - 1):
            search.on_trial_result(config["trial_id"], report(config, rung))
        search.on_trial_complete(config["trial_id"], report(config, len(RUNGS) - 1))

    return cycle


def _stock_cycle(made: list[optuna.trial.FrozenTrial]) -> Callable[[], None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = TPESampler(seed=0, multivariate=True, group=True, constant_liar=True)
    study = optuna.create_study(directions=[o.direction for o in GOALS.objectives], sampler=sampler)
    study.add_trials(made)

    def cycle() -> None:
        trial = study.ask()
        method = trial.suggest_categorical(METHOD, DIMENSIONS.methods)
        settings = SEARCH_SPACES[method].suggest(trial, CALIBRATION, {})
        last = report({"method": method, **settings, "seed": trial.number}, len(RUNGS) - 1)
        for key, value in GOALS.constraint_values(last).items():
            trial.set_constraint(key, value)
        study.tell(trial, GOALS.values(last))

    return cycle


def _times(cycle: Callable[[], None], repetitions: int) -> list[float]:
    """Milliseconds of each of `repetitions` calls, after two that are not counted."""
    spent = []
    for _ in range(_WARM_UP + repetitions):
        began = time.perf_counter()
        cycle()
        spent.append(1e3 * (time.perf_counter() - began))
    return spent[_WARM_UP:]


def _quartiles(values: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} ({low:.1f}–{high:.1f})"


# The storages


def storages(root: Path, finished: int, running: int, repetitions: int) -> Result:
    """A suggestion, its reports and its end on each kind of storage, and how long opening the study takes."""
    made = made_up_trials(finished, running)
    with ExitStack() as stack:
        places: dict[str, str | Path] = {
            "journal file": root / "storages.journal",
            "SQLite": f"sqlite:///{root}/storages.db",
        }
        note = "Opening reads all trials; then they are only written. Ratios are to the journal file."
        try:
            places["PostgreSQL"] = os.environ.get(DATABASE_VARIABLE) or stack.enter_context(temporary_server())
        except NoServerError as error:
            note += f" PostgreSQL was skipped: {error}."
        rows: list[tuple[str, ...]] = []
        first = None
        for name, place in places.items():
            opening, spent = _with_study(place, made, repetitions)
            first = first or statistics.median(spent)
            rows.append((name, f"{opening:.1f}", _quartiles(spent), f"{statistics.median(spent) / first:.1f}"))
    return Result(
        f"Storages with {finished} finished and {running} running trials",
        ("storage", "opening, s", "suggest, 4 reports, tell: ms, median (quartiles)", "ratio"),
        rows,
        note,
    )


def _with_study(place: str | Path, made: list[optuna.trial.FrozenTrial], repetitions: int) -> tuple[float, list[float]]:
    """Seconds of opening a full study and milliseconds of each trial; the study is removed again."""
    study = filled_study(place, made)
    try:
        began = time.perf_counter()
        cycle = _our_cycle(place, len(made) + 1_000)
        return time.perf_counter() - began, _times(cycle, repetitions)
    finally:
        optuna.delete_study(study_name=study.study_name, storage=open_storage(place))


# A whole study


def simulation(root: Path, trials: int, workers: int) -> Result:
    """Wall-clock of everything but the training, by a tenth of the study."""
    parts = Simulation(StudyFiles(root), trials, workers).run()
    first = parts[0]
    rows = [
        (
            f"{part.until}",
            f"{part.milliseconds('search'):.1f}",
            f"{part.milliseconds('scheduler'):.1f}",
            f"{part.milliseconds('records'):.1f}",
            f"{part.total:.1f}",
            f"{part.total / first.total:.1f}",
            f"{part.hypervolume:.3f}",
        )
        for part in parts
    ]
    return Result(
        f"A simulated study of {trials} trials on {workers} workers: milliseconds for each trial",
        ("trials ended", "search", "Pareto halving", "records, front", "all", "growth", "hypervolume"),
        rows,
        "The real searcher, scheduler and callback, in simulated time; the reports are made up. In the first "
        "part every worker is given its first trial besides, in the last one no trial starts.",
    )
