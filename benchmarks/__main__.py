"""``python -m benchmarks [--only NAME …]``: run the benchmarks and print their tables; wants an idle machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.console import Console

from analysis.load import StudyError
from benchmarks import likelihood, memory, scale, steps, study, throughput, tracking
from benchmarks.table import Result, show

BENCHMARKS: Mapping[str, Callable[[], Result | Iterable[Result]]] = {
    "steps": steps.run,
    "memory": memory.run,
    "likelihood": likelihood.run,
    "study": study.run,
    "scale": scale.run,
    "tracking": tracking.run,
    "throughput": throughput.run,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks; 0 when all of them ran, 1 when one found nothing to read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    chosen = parser.parse_args(argv).only
    console = Console(highlight=False)
    status = 0
    for name in chosen:
        try:
            found = BENCHMARKS[name]()
            for result in (found,) if isinstance(found, Result) else found:
                show(result, console)
        except StudyError as error:
            console.print(f"{name}: {error}", markup=False, soft_wrap=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
