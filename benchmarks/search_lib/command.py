"""The replay as a command: checks what it is given, prints and saves what comes of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.search_lib.correlation import correlations
from benchmarks.search_lib.outputs import correlation_table, needs_table, save, validation_table
from benchmarks.search_lib.recorded import Record
from benchmarks.search_lib.replay import SEARCHES, world_of
from benchmarks.search_lib.replay import replay as run_all
from benchmarks.search_lib.truth import Truth
from benchmarks.search_lib.worth import best_known
from benchmarks.table import show
from tuning.goals import Constraint, parse_constraint
from tuning.problems import ConfigError, Problem, closest

#: Trials of a method below which nothing can be said between them.
LEAST_TRIALS = 3


@dataclass(frozen=True)
class Request:
    """What is to be replayed.

    Attributes:
        record: the file of trials.
        only: names of searches; all of them if None.
        seeds, workers: of each search.
        constraint: the bound on ``fid``, as a study takes it.
        out: the directory that is written.
    """

    record: Path
    only: Sequence[str] | None
    seeds: int
    workers: int
    constraint: str
    out: Path


def replay(request: Request, console: Console) -> None:
    """Replay the record of a file.

    Raises:
        ConfigError: there is no such record, nothing to find in it, or something given breaks a rule; nothing was run.
    """
    names = list(dict.fromkeys(request.only or SEARCHES))
    problems = _problems(names, request)
    constraint, record = _constraint(request.constraint, problems), _record(request.record, problems)
    if problems or record is None or constraint is None:
        raise ConfigError(problems)
    truth = Truth(record)
    world, study = world_of(record, truth, constraint)
    if (best := best_known(truth, world.goals)) == 0.0:
        rule = "some report better than the untouched model must be feasible in truth"
        raise ConfigError([Problem(rule, str(constraint), "loosen the bound by --constraint")])
    tables = [validation_table(truth.validate()), correlation_table(correlations(record))]
    for table in tables:
        show(table, console)
    result = run_all(world, study, names, request.seeds, request.workers, best)
    tables.append(needs_table(result))
    show(tables[-1], console)
    for file in save(request.out, result, tables):
        console.print(f"wrote {file}", markup=False)


def _problems(names: Sequence[str], request: Request) -> list[Problem]:
    found = [
        Problem(f"a search must be one of {', '.join(SEARCHES)}", name, closest(name, SEARCHES))
        for name in names
        if name not in SEARCHES
    ]
    counts = {"--seeds": request.seeds, "--workers": request.workers}
    found += [Problem(f"{flag} must be at least 1", n, f"write {flag} 4") for flag, n in counts.items() if n < 1]
    return found


def _constraint(text: str, problems: list[Problem]) -> Constraint | None:
    """The bound, or None and what is wrong with it."""
    remedy = "write for instance 'fid <= 1.5x'"
    try:
        constraint = parse_constraint(text)
    except ValueError as error:
        problems.append(Problem(str(error).partition(", but got")[0], text, remedy))
        return None
    if (constraint.metric, constraint.op) != ("fid", "<="):
        problems.append(
            Problem("the bound must be an upper one of fid, the one that the record can judge", text, remedy)
        )
    return constraint


def _record(path: Path, problems: list[Problem]) -> Record | None:
    """The record, or None and what is wrong with it."""
    remedy = "make one by `python -m benchmarks.search record` and `combine`, or name another with --record"
    try:
        record = Record.load(path)
    except FileNotFoundError:
        problems.append(Problem("there must be a record of trials", str(path), remedy))
        return None
    except (OSError, EOFError, zlib.error, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        problems.append(Problem("a record must be gzipped JSON lines as `combine` writes them", str(path), remedy))
        return None
    reported = [trial.method for trial in record.trials if trial.reports]
    for method in sorted({trial.method for trial in record.trials}):
        if (count := reported.count(method)) < LEAST_TRIALS:
            rule = f"a record must have at least {LEAST_TRIALS} trials of {method!r} that reported"
            problems.append(Problem(rule, count, "record more of them"))
    return record
