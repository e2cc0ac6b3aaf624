"""``python -m benchmarks [--only NAME …] [--siss PATH]``: run the benchmarks and print their tables.

They want an idle machine. With a clone of the published implementation, https://github.com/claserken/SISS, it is timed
too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from analysis.load import StudyError
from benchmarks import evaluation, likelihood, memory, resuming, scale, siss, steps, study, throughput, tracking
from benchmarks.public_siss import NoCloneError, checked
from benchmarks.table import Result, show

Benchmark = Callable[[Path | None], Result | Iterable[Result]]
BENCHMARKS: Mapping[str, Benchmark] = {
    "steps": lambda clone: steps.run(),
    "siss": siss.run,
    "memory": lambda clone: memory.run(),
    "likelihood": lambda clone: [likelihood.run(), *([likelihood.run_published(clone)] if clone else [])],
    "evaluation": lambda clone: [evaluation.run(clone)] if clone else [],
    "study": lambda clone: study.run(),
    "scale": lambda clone: scale.run(),
    "tracking": lambda clone: tracking.run(),
    "throughput": lambda clone: throughput.run(),
    "resuming": lambda clone: resuming.run(),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks; 0 when all of them ran, 1 when one found nothing to read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--siss", type=_clone, metavar="PATH", help="a clone of the published implementation")
    given = parser.parse_args(argv)
    console = Console(highlight=False)
    status = 0
    for name in given.only:
        try:
            found = BENCHMARKS[name](given.siss)
            for result in (found,) if isinstance(found, Result) else found:
                show(result, console)
        except StudyError as error:
            console.print(f"{name}: {error}", markup=False, soft_wrap=True)
            status = 1
    return status


def _clone(text: str) -> Path:
    try:
        return checked(Path(text))
    except NoCloneError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
