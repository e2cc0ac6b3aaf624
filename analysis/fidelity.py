"""``python -m analysis.fidelity``: how few network calls still rank a study's models as many calls do.

Measures the last model of each trial with few and with many sampling steps, denoising steps and likelihood evaluations,
and says which values are enough for a next study. What is measured is kept in ``fidelity.csv`` of the study, so that
an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.agreement import FEWEST_MODELS, LEAST_CORRELATION, agreement, fewest
from analysis.choice import study_of
from analysis.load import Study, StudyError
from analysis.progress import watching
from analysis.table import rows
from tuning.schema import StudyConfig

_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; 0 done, 2 the study, its models or what was given cannot be read."""
    arguments = _parser().parse_args(argv)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        study = study_of(arguments.name, arguments.storage_path)
        with watching(errors, arguments.quiet) as watch:
            watch.stage("load libraries")
            from analysis.fidelity_measuring import FidelityMeasuring

            num_images = arguments.images or study.config.num_images
            measuring = FidelityMeasuring(study, arguments.inputs, num_images, watch)
            measured = measuring.run(study.files.fidelity)
    except (StudyError, OSError) as error:
        errors.print(Text(f"error: {error}"))
        return 2
    except KeyboardInterrupt:
        errors.print(Text("interrupted: the same command goes on from what was measured"))
        return _INTERRUPTED
    show(study, measured, Console(highlight=False, width=arguments.width))
    return 0


def _parser() -> argparse.ArgumentParser:
    description = (__doc__ or "").partition(": ")[2]
    parser = argparse.ArgumentParser(prog="python -m analysis.fidelity", description=description)
    storage = StudyConfig.model_fields["storage_path"].default
    parser.add_argument("name", help="name of the study")
    parser.add_argument("--storage-path", default=storage, help=f"where studies are kept [default: {storage}]")
    parser.add_argument(
        "--inputs", type=Path, metavar="DIR", help="where to look for models and images that are not where they were"
    )
    parser.add_argument(
        "--images", type=_positive, metavar="N", help="generated images of a measurement [default: the study's]"
    )
    parser.add_argument("--width", type=int, default=None, help="columns of the table [default: the terminal's]")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"it must be a whole number of at least 2, but got {text!r}")
    return int(text)


def show(study: Study, measured: pd.DataFrame, console: Console) -> None:
    """Prints the correlations, and what would be enough."""
    found = agreement(measured)
    largest = measured.groupby("setting")["value"].max()
    num_models = measured.groupby(["trial_id", "step"]).ngroups
    title = f"Rank correlation of the last models of {num_models} trials of {study.name} with the finest measurement"
    table = Table(title=title, title_justify="left")
    metrics = list(dict.fromkeys(found["metric"]))
    for name in ("setting", "value", *metrics, "network rows", "of the finest"):
        table.add_column(name, justify="left" if name == "setting" else "right")
    for (setting, value), part in found.groupby(["setting", "value"], sort=False):
        by_metric = dict(zip(part["metric"], part["spearman"], strict=True))
        first = rows(part)[0]
        table.add_row(
            str(setting), f"{value}{' *' if value == getattr(study.config, str(setting)) else ''}",
            *(_figure(by_metric.get(metric)) for metric in metrics),
            f"{first['network_rows']:.0f}", f"{first['share_of_rows']:.0%}",
        )  # fmt: skip
    console.print(table)
    console.print(Text("* what the study has. = : the finest measurement does not tell the models apart."))
    for setting, value in fewest(found).items():
        own, tells = getattr(study.config, setting), found.loc[found["setting"] == setting, "spearman"].notna().any()
        enough = f"{value} would do" if value is not None else f"no value below {largest[setting]} does"
        enough = enough if tells else "the models cannot be told apart, so that nothing is known"
        console.print(Text(f"{setting}: {enough} for a correlation of {LEAST_CORRELATION} (the study has {own})."))
    if (least := int(found["num_models"].min())) < FEWEST_MODELS:
        console.print(Text(f"Some are of {least} models: of fewer than {FEWEST_MODELS}, a high one may be chance."))


def _figure(correlation: float | None) -> str:
    if correlation is None:
        return ""
    return "=" if math.isnan(correlation) else f"{correlation:.3f}"


if __name__ == "__main__":
    sys.exit(main())
