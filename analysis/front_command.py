"""``python -m analysis.front``: a study's front under its own or another bound, from its files alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.configurations import NUM_REPEATS, configuration_names, is_repeated
from analysis.front import hypervolume, over_forgotten, pareto_front, recommend
from analysis.load import Study, StudyError, load_study
from analysis.no_front import why_no_front
from analysis.table import with_error
from tuning.goals import Constraint, metrics_of, parse_constraint
from tuning.schema import StudyConfig

KEY = ["trial_id", "step"]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the front; 0 done, 2 the study or a bound cannot be read."""
    arguments = _parser().parse_args(argv)
    try:
        constraints = _constraints(arguments.constraint)
        study = load_study(Path(arguments.storage_path) / arguments.name)
        show_front(study, study.constraints if constraints is None else constraints, Console(width=arguments.width))
    except (StudyError, ValueError) as error:
        Console(file=sys.stderr, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.front", description=__doc__.partition(": ")[2])
    parser.add_argument("name", help="name of the study")
    storage = StudyConfig.model_fields["storage_path"].default
    parser.add_argument("--storage-path", default=storage, help=f"where studies are kept [default: {storage}]")
    parser.add_argument(
        "--constraint", nargs="+", action="append", metavar="BOUND", help="bound instead of the study's: 'fid <= 1.1x'"
    )
    parser.add_argument("--width", type=int, default=None, help="columns of the table [default: the terminal's]")
    return parser


def _constraints(given: Sequence[Sequence[str]] | None) -> tuple[Constraint, ...] | None:
    return None if given is None else tuple(parse_constraint(text) for group in given for text in group)


def front_under(study: Study, constraints: Sequence[Constraint]) -> pd.DataFrame:
    """The front over all reports of a study under `constraints`.

    Raises:
        StudyError: there is no report or baseline yet, or a bound is on a metric that the study did not measure.
    """
    if study.candidates.empty:
        raise StudyError(
            f"a front needs reports, but {study.files.reports} has none; wait for the first trial to report"
        )
    if missing := sorted(set(metrics_of(study.objectives, constraints)) - set(study.reports.columns)):
        measured = ", ".join(metric for metric in study.config.metrics if metric in study.reports)
        raise StudyError(
            f"a bound must be on a metric that the study measured ({measured}), but got {', '.join(missing)}; "
            f"a new study measures it with --report-metrics"
        )
    unknown = {c.metric for c in constraints if c.relative} - set(study.search_reference)
    if unknown:
        raise StudyError(
            f"a relative bound needs the untouched model's value, but {study.files.baseline} lacks "
            f"{', '.join(sorted(unknown))}; give an absolute bound"
        )
    return pareto_front(study.points, study.objectives, constraints, study.search_reference)


def show_front(study: Study, constraints: Sequence[Constraint], console: Console) -> None:
    """Prints the front, its hypervolume and the recommended member.

    Raises:
        StudyError: as `front_under`.
    """
    front = front_under(study, constraints)
    bounds = " and ".join(map(str, constraints)) or "no bound"
    if front.empty:
        console.print(escape(f"{study.name} has no front under {bounds}. {why_no_front(study, constraints)}"))
        return
    choice = recommend(front, study.objectives, constraints, study.search_reference, study.ideal)
    console.print(_table(study, front, constraints, choice.position, bounds))
    if study.ideal is not None:
        volume = hypervolume(front, study.objectives, study.search_reference, study.ideal)
        console.print(f"Hypervolume: {volume:.3f} (untouched model 0, ideal 1)")
    console.print(escape(choice.rule))


def _table(
    study: Study, front: pd.DataFrame, constraints: Sequence[Constraint], recommended: int | None, bounds: str
) -> Table:
    metrics = metrics_of(study.objectives, constraints)
    again = _remeasured(study, front)
    beyond = [False] * len(front)
    if study.ideal is not None:
        beyond = list(
            over_forgotten(
                front, study.objectives, study.search_reference, study.ideal, ideal_stderr=study.baseline.ideal_stderr
            )
        )
    repeated = is_repeated(study.candidates)
    kind = "points, means over repeats" if repeated else "reports"
    table = Table(title=escape(f"Front of {study.name} under {bounds}: {len(front)} of {len(study.points)} {kind}"))
    for column in ("", "trial", "method", "step", *(["runs"] if repeated else [])):
        table.add_column(column)
    for metric in metrics:
        table.add_column(escape(study.label(metric)), justify="right")
        if again is not None:
            table.add_column("re-measured", justify="right")
    for position, (_, row) in enumerate(front.iterrows()):
        cells = ["★" if position == recommended else "", str(row["trial_id"]), str(row["method"]), str(row["step"])]
        cells += [str(row[NUM_REPEATS])] if repeated else []
        for metric in metrics:
            cells.append(_cell(row, metric))
            if again is not None:
                cells.append(_cell(again.iloc[position], metric))
        table.add_row(*map(escape, cells), style="dim" if beyond[position] else None)
    table.caption = "★ recommended" + ("; dim: beyond the ideal, over-forgotten" if any(beyond) else "")
    return table


def _remeasured(study: Study, front: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of front.csv for `front`, NaN where the study did not re-measure a member; None where it did none."""
    if study.front.empty:
        return None
    measured = study.front
    if is_repeated(study.candidates):  # front.csv has the run that is taken home, the front the configuration's name
        names = dict(zip(study.candidates["trial_id"], configuration_names(study.candidates), strict=True))
        measured = measured.assign(trial_id=measured["trial_id"].map(names))
    merged = front[KEY].merge(measured, on=KEY, how="left")
    return merged if len(merged) == len(front) else None


def _cell(row: pd.Series, metric: str) -> str:
    return with_error(row.get(metric), row.get(f"{metric}_stderr"))
