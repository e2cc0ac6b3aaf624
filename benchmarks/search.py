"""``python -m benchmarks.search``: how much compute each search needs to reach the best front known.

python -m benchmarks.search record --shard 1/2     # trains 120 configurations; goes on where it stopped
python -m benchmarks.search combine                # writes the record that is replayed
python -m benchmarks.search replay                 # prints compute ratios, draws anytime curves
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

RECORD = Path(__file__).resolve().parent / "data" / "search_record.json.gz"
WORK = Path("runs") / "search_record"


def main(argv: Sequence[str] | None = None) -> int:
    """Record, combine or replay."""
    arguments = _parser().parse_args(argv)
    arguments.run(arguments, Console(highlight=False, soft_wrap=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    record = commands.add_parser("record", help="train configurations and measure them at every rung")
    record.add_argument("--shard", type=_shard, default=(0, 1), metavar="K/N", help="the K-th of N parts [1/1]")
    record.add_argument("--work", type=Path, default=WORK, help="where finished configurations are kept")
    record.set_defaults(run=_record)
    combine = commands.add_parser("combine", help="put what was recorded into one file")
    combine.add_argument("--work", type=Path, default=WORK, help="where finished configurations are kept")
    combine.add_argument("--record", type=Path, default=RECORD, help="the file to write")
    combine.set_defaults(run=_combine)
    return parser


def _shard(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"a shard must be K/N with 1 <= K <= N, but got {text!r}; write 1/2")
    return int(number) - 1, int(count)


def _record(arguments: argparse.Namespace, console: Console) -> None:
    from benchmarks.search_lib.record import run

    number, num_shards = arguments.shard
    run(arguments.work, number, num_shards, console)


def _combine(arguments: argparse.Namespace, console: Console) -> None:
    from benchmarks.search_lib.record import combine

    arguments.record.parent.mkdir(parents=True, exist_ok=True)
    record = combine(arguments.work, arguments.record)
    console.print(f"{len(record.trials)} trials in {arguments.record} ({arguments.record.stat().st_size:,} bytes)")


if __name__ == "__main__":
    sys.exit(main())
