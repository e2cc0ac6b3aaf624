"""``python -m benchmarks.soak``: every kind of fault at random moments, over and over, and what was lost by it.

What is done is kept in ``results.jsonl`` of the folder, and not done again: the same command goes on. Exit status 1
where anything was lost, duplicated or stuck.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.soak_lib.accounts import Accounts, acknowledged, settle
from benchmarks.soak_lib.running import Launch, StuckError
from benchmarks.soak_lib.scenarios import SCENARIOS
from benchmarks.soak_lib.setting import Scenario, Setting
from benchmarks.table import Result, show
from trainable.testing import write_tiny_study
from tuning.files import StudyFiles

NUM_TRIALS = 4
RUNGS = (50, 100, 150)
MOST_RESUMES = 3


@dataclass(frozen=True)
class Run:
    """One fault, and what it came to."""

    kind: str
    number: int
    lost: int
    duplicated: int
    stuck: int
    seconds: float
    found: Sequence[str] = ()

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.stuck)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is left of the chosen kinds; 0 where nothing was lost, duplicated or stuck, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="start nothing after that time")
    parser.add_argument("--times", type=int, default=5, help="how often each kind is done")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="KIND")
    parser.add_argument("--folder", type=Path, default=Path("runs/soak"), help="where studies and results are kept")
    given = parser.parse_args(argv)
    console = Console(highlight=False)
    end = time.monotonic() + 3600 * given.hours
    folder = given.folder.absolute()
    runs = _done(folder, given.times)
    wanted = [(kind, number) for number in range(given.times) for kind in given.only]
    for kind, number in wanted:
        if (kind, number) in runs or time.monotonic() > end:
            continue
        runs[kind, number] = run = run_once(kind, number, folder)
        with (folder / "results.jsonl").open("a", encoding="utf-8") as results:
            results.write(json.dumps(asdict(run)) + "\n")
        console.print(f"{kind} {number}: {'; '.join(run.found) or 'nothing lost'}, {run.seconds:.0f} s", markup=False)
    done = [runs[key] for key in wanted if key in runs]
    show(table(done, len(wanted)), console)
    return 0 if all(run.is_clean for run in done) else 1


def _is_untold(files: StudyFiles) -> bool:
    """Whether MLflow lacks something of a study."""
    return files.mlflow_spool.exists() or files.mlflow_file_spool.exists()


def run_once(kind: str, number: int, folder: Path) -> Run:
    """One study, one fault at a moment that follows from kind and number."""
    study_file = _study_file(folder)
    own = folder / f"{kind.replace(' ', '-')}-{number}"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    began = time.monotonic()
    accounts = endure(SCENARIOS[kind], study_file, own, random.Random(f"{kind} {number}"))
    if accounts.are_settled:
        shutil.rmtree(own)
    found = [*accounts.lost, *accounts.duplicated, *accounts.stuck]
    sizes = len(accounts.lost), len(accounts.duplicated), len(accounts.stuck)
    return Run(kind, number, *sizes, time.monotonic() - began, found[:20])


def endure(scenario: Scenario, study_file: Path, folder: Path, chance: random.Random) -> Accounts:
    """Start a study in a scenario, do the fault to it, resume it until it ends, and look it over."""
    with scenario(folder) as setting:
        place = setting.storage or folder / "runs"
        launch = Launch(study_file, place, setting.flags, setting.environment, machines=setting.machines)
        try:
            before = _until_it_ends(launch, setting, chance)
        except StuckError as error:
            return Accounts(stuck=[str(error)])
        return settle(
            launch.files,
            NUM_TRIALS,
            RUNGS,
            before=before,
            optuna_storage=setting.optuna_storage,
            mlflow_tracking_uri=setting.mlflow_tracking_uri,
        )


def _until_it_ends(launch: Launch, setting: Setting, chance: random.Random) -> list[str]:
    """Rows that were acknowledged when the fault came.

    Raises:
        StuckError: the study, or a process of it, did not end.
    """
    studies = [launch.start()]
    studies[0].wait_for_reports(chance.randrange(1, setting.last_moment or NUM_TRIALS * len(RUNGS) - 2))
    time.sleep(chance.random())
    before = acknowledged(launch.files)
    setting.inject(studies[0])
    # A study ends although MLflow is away, and says that what MLflow lacks follows on a resume.
    while studies[-1].finish() != 0 or _is_untold(launch.files):
        if len(studies) > MOST_RESUMES:
            raise StuckError(
                f"after {MOST_RESUMES} resumes the study must have ended, and MLflow have all of it, but that is not "
                f"so: see {launch.log}"
            )
        studies.append(launch.start(*setting.resume_flags, "--resume"))
    for study in studies:
        study.wait_until_gone()
    return before


def _study_file(folder: Path) -> Path:
    file = folder / "study" / "study.yaml"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tiny_study(file.parent, num_trials=NUM_TRIALS, rungs=list(RUNGS), max_concurrent_trials=2)
    return file


def _done(folder: Path, times: int) -> dict[tuple[str, int], Run]:
    """What an earlier command has done."""
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    runs = [Run(**json.loads(line)) for line in lines]
    return {(run.kind, run.number): run for run in runs if run.number < times}


def table(runs: Sequence[Run], wanted: int) -> Result:
    """A row for each kind."""
    left = wanted - len(runs)
    return Result(
        "Faults injected into running studies",
        ("kind", "times", "lost", "duplicated", "stuck", "seconds"),
        list(_rows(runs)),
        f"{left} of {wanted} not done: the same command goes on" if left > 0 else "",
    )


def _rows(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    kinds: Mapping[str, list[Run]] = {kind: [run for run in runs if run.kind == kind] for kind in SCENARIOS}
    for kind, done in kinds.items():
        if done:
            sums = [sum(getattr(run, name) for run in done) for name in ("lost", "duplicated", "stuck")]
            yield kind, str(len(done)), *map(str, sums), f"{sum(run.seconds for run in done) / len(done):.0f}"


if __name__ == "__main__":
    sys.exit(main())
