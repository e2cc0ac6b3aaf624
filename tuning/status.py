"""``python -m tuning.status``: how the studies of a storage path stand, from their files alone, also while they run."""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from analysis.load import StudyError
from tuning.files import StudyFiles
from tuning.paths import expanded
from tuning.problems import Problem, closest
from tuning.schema import StudyConfig, local_directory
from tuning.status_view import as_json, one_study, overview
from tuning.study_status import UNREADABLE, StudyStatus, study_status

WATCH_SECONDS: Final = 5.0
#: Columns where no terminal says how many it has.
PLAIN_WIDTH: Final = 160


def main(argv: Sequence[str] | None = None) -> int:
    """Prints how studies stand; 0 done, 2 a name or the path is wrong."""
    arguments = _parser().parse_args(argv)
    logging.getLogger("tuning").addHandler(logging.NullHandler())  # a row torn by its writer is no news here
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    storage = expanded(str(local_directory(arguments.storage_path)))
    try:
        if problems := _problems(storage, arguments.names):
            raise StudyError("\n".join(map(str, problems)))
        if arguments.json:
            _repeat(lambda: _write(as_json(str(storage), _studies(storage, arguments.names))), arguments.watch)
        elif arguments.watch is not None and console.is_terminal:
            _redraw(console, lambda: _drawn(storage, arguments.names), arguments.watch)
        else:
            _repeat(lambda: _print(console, storage, arguments.names, arguments.watch), arguments.watch)
    except StudyError as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:  # the end of watching
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tuning.status", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies to show in detail; none: a table of all")
    storage = StudyConfig.model_fields["storage_path"].default
    parser.add_argument("--storage-path", default=storage, help=f"where studies are kept [default: {storage}]")
    watch = f"show it again every so many seconds, until Ctrl-C [default: {WATCH_SECONDS:g}]"
    parser.add_argument("--watch", nargs="?", type=_seconds, const=WATCH_SECONDS, metavar="SECONDS", help=watch)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds < math.inf:
        remedy = "give a number, or put --watch behind the names"
        raise argparse.ArgumentTypeError(str(Problem("seconds must be at least 0.1", text, remedy)))
    return seconds


def _problems(storage: Path, names: Sequence[str]) -> list[Problem]:
    if not storage.is_dir():
        remedy = "give the --storage-path that studies were started with, or start one"
        return [Problem("studies must be in a directory", str(storage.absolute()), remedy)]
    known = _names(storage)
    rule = f"a study must have a study.yaml in {storage.absolute()}"
    remedy = "there is none: check --storage-path"
    return [Problem(rule, name, closest(name, known) if known else remedy) for name in names if name not in known]


def _names(storage: Path) -> list[str]:
    try:
        return sorted(path.name for path in storage.iterdir() if StudyFiles(path).study.is_file())
    except OSError as error:
        raise StudyError(
            f"studies must be in a directory that can be read, but got {error}; check its permissions"
        ) from None


def _studies(storage: Path, names: Sequence[str]) -> list[StudyStatus]:
    return [_study(storage / name, bool(names)) for name in names or _names(storage)]


def _study(root: Path, detailed: bool) -> StudyStatus:
    """One that cannot be read keeps nobody from seeing the others."""
    try:
        return study_status(root, detailed=detailed)
    except StudyError as error:
        return StudyStatus(root.name, UNREADABLE, " ".join(str(error).split()))


def _drawn(storage: Path, names: Sequence[str]) -> RenderableType:
    studies = _studies(storage, names)
    if names:
        return Group(*(part for study in studies for part in (one_study(study), Text(""))))
    return overview(studies) if studies else Text(f"no study in {storage.absolute()}")


def _print(console: Console, storage: Path, names: Sequence[str], watch: float | None) -> None:
    if watch is not None:
        console.print(f"[{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC]", markup=False)
    console.print(_drawn(storage, names), crop=False)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _repeat(show: Callable[[], None], seconds: float | None) -> None:
    """Once, or again and again until an interrupt."""
    show()
    while seconds is not None:
        time.sleep(seconds)
        show()


def _redraw(console: Console, draw: Callable[[], RenderableType], seconds: float) -> None:
    with Live(draw(), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(seconds)
            live.update(draw(), refresh=True)


if __name__ == "__main__":
    sys.exit(main())
