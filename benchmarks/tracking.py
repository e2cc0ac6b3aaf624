"""What MLflow costs a study: seconds that its calls take of the thread that drives trials, whatever the server does.

The calls of the default study, one after another with the least of pauses, against a real server that is up, that is
not there, and that takes connections and never answers.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd

from benchmarks.soak_lib.mlflow_server import MlflowServer
from benchmarks.table import Result
from tuning.files import StudyFiles
from tuning.records import TrialState
from tuning.tracking import Tracker

NUM_TRIALS: Final = 18
STEPS: Final = (10, 20, 40, 60)
#: The default study on two idle cores, as README.md has it: the fastest there is, which makes the share largest.
STUDY_SECONDS: Final = 660.0
METRICS: Final = ("sscd", "nll", "fid", "membership_loss", "inception_score")
DIAGNOSTICS: Final = 20


class Stopwatch:
    """Seconds inside of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, call: Callable[..., Any], *arguments: Any) -> None:
        began = time.perf_counter()
        call(*arguments)
        self.seconds += time.perf_counter() - began


def run(pause: float = 0.5, num_trials: int = NUM_TRIALS) -> Result:
    """A row for each state of the server.

    Args:
        pause: seconds between reports, in which the thread that writes may work.
        num_trials: trials of the study.
    """
    rows = []
    for name, (server, limit) in SERVERS.items():
        with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as url:
            during, end = _told(Path(folder), url, pause, num_trials)
        share = (during + end) / STUDY_SECONDS
        rows.append((name, f"{during:.3f}", f"{end:.2f}", f"{share:.2%}", limit))
    return Result(
        f"MLflow: seconds on the driver's thread, {num_trials} trials with {len(STEPS)} reports each",
        ("server", "while trials run", "at the end", "share of a study", "wanted"),
        rows,
        f"share of {STUDY_SECONDS:.0f} s; at the end everything is written, or kept for a resume",
    )


def _told(folder: Path, url: str, pause: float, num_trials: int) -> tuple[float, float]:
    during, end = Stopwatch(), Stopwatch()
    tracker = Tracker(StudyFiles(folder / "study"), study="study", workload="unconditional", tracking_uri=url)
    during(tracker.start_study, {f"field_{number}": number for number in range(60)})
    during(tracker.log_baseline, dict.fromkeys(METRICS, 0.5))
    for number in range(num_trials):
        name = f"{number:05d}"
        during(tracker.start_trial, name, {"trial_id": name, "method": "siss", "lambd": 0.5})
        for step in STEPS:
            during(tracker.log_report, name, _report(step))
            time.sleep(pause)
        during(tracker.end_trial, name, TrialState.COMPLETE)
        during(tracker.log_hypervolume, number + 1, 0.5)
    front = pd.DataFrame({"trial_id": [f"{number:05d}" for number in range(num_trials)]})
    ranks = front.assign(step=STEPS[-1], pareto_rank=1, feasible=True, violation=0.0)
    during(tracker.log_front, front, ranks)
    during(tracker.finish_study, TrialState.COMPLETE)
    end(tracker.flush)
    end(tracker.close)
    return during.seconds, end.seconds


def _report(step: int) -> dict[str, Any]:
    measured = {f"{name}{suffix}": 0.5 for name in METRICS for suffix in ("", "_stderr", "_num")}
    return {"step": step, **measured, **{f"diagnostic_{number}": float(number) for number in range(DIAGNOSTICS)}}


@contextmanager
def _up(folder: Path) -> Iterator[str]:
    server = MlflowServer(folder, f"sqlite:///{folder / 'server.db'}")
    server.start()
    try:
        yield server.url
    finally:
        server.kill()


@contextmanager
def _dead(folder: Path) -> Iterator[str]:
    yield "http://127.0.0.1:9"


@contextmanager
def _silent(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


#: State → how it is brought about, in a folder, and the largest share of a study's time that is wanted.
SERVERS: Final[Mapping[str, tuple[Callable[[Path], AbstractContextManager[str]], str]]] = {
    "up": (_up, "≤ 2%"),
    "dead": (_dead, "≤ 5%"),
    "silent": (_silent, "≤ 5%"),
}
