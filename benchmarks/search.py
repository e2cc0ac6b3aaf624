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

from tuning.problems import ConfigError

RECORD = Path(__file__).resolve().parent / "data" / "search_record.json.gz"
WORK = Path("runs") / "search_record"
OUT = Path("runs") / "search_replay"


def main(argv: Sequence[str] | None = None) -> int:
    """Record, combine or replay; 0 when done, 2 when what was given is wrong."""
    arguments = _parser().parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    try:
        arguments.run(arguments, console)
    except ConfigError as error:
        console.print(str(error), markup=False)
        return 2
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
    replay = commands.add_parser("replay", help="run every search over the record at simulated time")
    replay.add_argument("--record", type=Path, default=RECORD, help="the file that combine wrote")
    replay.add_argument("--seeds", type=int, default=20, metavar="N", help="of each search [20]")
    replay.add_argument("--workers", type=int, default=1, metavar="N", help="trials at a time in each search [1]")
    replay.add_argument("--only", nargs="+", metavar="NAME", help="searches, all of them if absent")
    replay.add_argument("--constraint", default="fid <= 1.2x", metavar="TEXT", help="the bound ['fid <= 1.2x']")
    replay.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where tables and curves are put")
    replay.set_defaults(run=_replay)
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


def _replay(arguments: argparse.Namespace, console: Console) -> None:
    from benchmarks.search_lib.command import Request, replay

    given = {name: getattr(arguments, name) for name in ("record", "only", "seeds", "workers", "constraint", "out")}
    replay(Request(**given), console)


if __name__ == "__main__":
    sys.exit(main())
