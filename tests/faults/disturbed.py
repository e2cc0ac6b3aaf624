"""One miniature study for faults to befall, and what must come of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak_lib.accounts import settle
from trainable.testing import write_tiny_study
from tuning.files import StudyFiles

RUNGS = (1, 2, 3, 4, 5)
NUM_TRIALS = 4
FIDELITY = {"num_images": 8, "num_sampling_steps": 2, "num_likelihood_evaluations": 13, "final_num_images": 8}


def write_study(folder: Path) -> Path:
    """A study of many short steps, one trial at a time."""
    settings = {"num_trials": NUM_TRIALS, "rungs": list(RUNGS), "max_concurrent_trials": 1}
    return write_tiny_study(folder, constraints=["fid <= 9x"], **settings, **FIDELITY)


def with_baseline(storage: Path, undisturbed: Path) -> Path:
    """`storage`, in which a study finds its baseline measured."""
    shutil.copytree(undisturbed / ".baselines", storage / ".baselines")
    return storage


def assert_equal(files: StudyFiles, undisturbed: Path, before: Sequence[str]) -> None:
    """The study has settled, has what was acknowledged ``before``, and is the undisturbed one byte for byte."""
    accounts = settle(files, NUM_TRIALS, RUNGS, before=before)
    assert accounts.are_settled, accounts
    for name in ("reports.csv", "front.csv"):
        assert (files.root / name).read_bytes() == (undisturbed / files.name / name).read_bytes(), name
