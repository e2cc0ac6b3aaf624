"""Search the hyper-parameters of data unlearning: flags → configuration → study → where to look.

With no flags it runs the embedded study on this machine. ``--dry-run`` prints the configuration and starts nothing,
``--quiet`` prints errors alone.
Exit status: 0 done, 1 the study failed (what was finished is kept), 2 the configuration is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuning.checks.storage import check_optuna_storage
from tuning.cli import flag_of
from tuning.config import ConfigError, load_config, render, resume_command

if TYPE_CHECKING:
    from rich.console import Console


def main(argv: Sequence[str] | None = None) -> int:
    """Run the launch command; returns its exit status."""
    from rich.console import Console

    errors = Console(stderr=True, highlight=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: KeyboardInterrupt, which cleans up
    try:
        return _launch(argv, errors)
    except KeyboardInterrupt:
        _let_cleaning_up_finish()
        errors.print("interrupted before anything was started")
        return 1


def _launch(argv: Sequence[str] | None, errors: Console) -> int:
    from rich.console import Console

    from tuning.fetching import fetching

    # Where a user's own package lies; last, so that no file there hides one of the project. Ray's workers get it too.
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    try:
        words = sys.argv[1:] if argv is None else argv
        console = Console(highlight=False)
        with fetching(console, quiet=flag_of("quiet") in words) as told:
            config, options = load_config(words, told)
        check_optuna_storage(config, options.resume)
    except ConfigError as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 2
    if options.dry_run:
        console.print(render(config), markup=False, soft_wrap=True)
        return 0

    from tuning.authentication import guard_local_ray
    from tuning.problems import redact

    guard_local_ray(config.address)
    try:
        from tuning.study import run_study
        from tuning.summary import final_summary
        from tuning.terminal import StudyView

        with StudyView(console, config.name, metrics=config.judged_metrics, quiet=options.quiet) as view:
            result = run_study(config, view, resume=options.resume)
    except KeyboardInterrupt:
        if not (config.root / "study.yaml").exists():
            raise
        _let_cleaning_up_finish()
        errors.print(f"interrupted; to go on: {resume_command(config)}", markup=False, soft_wrap=True)
        return 1
    except ConfigError as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 2
    except Exception as error:
        failure = f"the study failed: {redact(str(error))}"
        errors.print(f"{failure}\nto go on: {resume_command(config)}", markup=False, soft_wrap=True)
        return 1
    if not options.quiet:
        final_summary(console, result, config)
    return 0


def _let_cleaning_up_finish() -> None:
    """No signal is needed any more: what is left, Ray's processes, ends in seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
