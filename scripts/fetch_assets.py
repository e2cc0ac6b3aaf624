"""Fetch the models, weights and data of the large workloads; see docs/operations.md.

    python scripts/fetch_assets.py celeba_hq sscd inception    # what the workload celeba_hq needs
    python scripts/fetch_assets.py stable_diffusion sscd clip  # what the workload stable_diffusion needs

A download that was cut goes on where it was when the command is run again; what is there already is checked, and not
fetched. Exit status: 0 all is there, 1 something could not be fetched (what has arrived is kept), 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from metrics.encoder_files import FETCHED  # noqa: E402
from scripts.fetch_lib.display import Display  # noqa: E402
from scripts.fetch_lib.download import Client  # noqa: E402
from scripts.fetch_lib.errors import FetchError  # noqa: E402
from scripts.fetch_lib.fetch import Fetcher  # noqa: E402
from scripts.fetch_lib.manifest import ASSETS, Asset  # noqa: E402
from tuning.problems import Problem, closest  # noqa: E402


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"of {', '.join(ASSETS)}")
    parser.add_argument("-t", "--target", type=Path, default=FETCHED, metavar="DIR", help="where they are put")
    parser.add_argument(
        "-m",
        "--mirror",
        metavar="URL",
        help="address that takes the place of https://HOST in every download; it gets no names, keys and tokens",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; wrong ones end the program with status 2."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if problems := [
        *_name_problems(arguments.names),
        *_mirror_problems(arguments.mirror),
        *_target_problems(arguments.target),
    ]:
        parser.error("\n".join(map(str, problems)))
    return arguments


def _name_problems(names: Sequence[str]) -> list[Problem]:
    rule = "an asset must have one of the known names"
    return [Problem(rule, name, closest(name, ASSETS)) for name in names if name not in ASSETS]


def _mirror_problems(mirror: str | None) -> list[Problem]:
    if mirror is None or _is_plain_address(mirror):
        return []
    return [Problem("a mirror must be an http or https address without user and query", mirror, "give https://HOST")]


def _is_plain_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, or a port that is no number
        return False
    return whole and "@" not in parts.netloc and not parts.query and not parts.fragment


def _target_problems(target: Path) -> list[Problem]:
    existing = next(path for path in (target.absolute(), *target.absolute().parents) if path.exists())
    if existing.is_dir():
        return []
    return [Problem("the target must be a directory", f"{existing}, which is a file", "choose another directory")]


def fetch_all(names: Sequence[str], fetcher: Fetcher, errors: Console) -> bool:
    """Fetch each asset of the names once, going on after failures; tells whether all is there."""
    assets: list[Asset] = list(dict.fromkeys(asset for name in names for asset in ASSETS[name]))
    failed = 0
    for asset in assets:
        try:
            fetcher.fetch(asset)
        except FetchError as error:
            failed += 1
            errors.print(f"{asset.path}: {error}", markup=False, soft_wrap=True)
        except OSError as error:
            failed += 1
            problem = Problem("files must be readable and writable", f"{error}", "check the disk, then run it again")
            errors.print(f"{asset.path}: {problem}", markup=False, soft_wrap=True)
    return failed == 0


def main(argv: Sequence[str] | None = None, client: Client | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse_arguments(argv)
    errors = Console(stderr=True, highlight=False)
    display = Display(Console(highlight=False, quiet=arguments.quiet))
    fetcher = Fetcher(arguments.target, display, arguments.mirror, client or Client())
    try:
        arguments.target.mkdir(parents=True, exist_ok=True)
        with FileLock(arguments.target / ".fetching", timeout=0):
            return 0 if fetch_all(arguments.names, fetcher, errors) else 1
    except Timeout:
        problem = Problem(
            "one command at a time must fetch to a directory", str(arguments.target), "wait for the other"
        )
        errors.print(str(problem), markup=False, soft_wrap=True)
    except OSError as error:
        problem = Problem("the target must be writable", str(error), "choose another directory")
        errors.print(str(problem), markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        errors.print("interrupted: what has arrived is kept; run the same command again to go on", soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
