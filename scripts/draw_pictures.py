"""Draw the pictures of README and documentation from a study that was run.

    python scripts/draw_pictures.py runs/mnist_tshirt                      # into docs/images
    python scripts/draw_pictures.py runs/mnist_tshirt --output elsewhere

The front, its growth and samples need nothing but the study's files; pictures of pages need Chromium. The study is left
as it is. Exit status: 0 all are drawn, 1 there is no browser (the others are drawn), 2 the study cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from analysis.load import StudyError, load_study  # noqa: E402
from scripts.pictures_lib.drawn import draw  # noqa: E402
from scripts.pictures_lib.screenshots import BrowserError, browser_page, take  # noqa: E402


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, metavar="STUDY_DIR", help="directory of a study")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images", metavar="DIR", help="where they go")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = build_parser().parse_args(argv)
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        for path in draw(load_study(arguments.study), arguments.output):
            console.print(str(path), markup=False)
        with browser_page() as page:
            for path in take(page, arguments.study, arguments.output):
                console.print(str(path), markup=False)
    except BrowserError as error:
        errors.print(f"pages were not drawn: {error}", markup=False)
        return 1
    except (StudyError, OSError) as error:
        errors.print(str(error), markup=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
