"""A made-up study as a directory, in the states that a study can be in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from synthetic_study import write_study


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of whole pages, which are not about importances: these take most of a page's time."""
    monkeypatch.setattr("analysis.importance.NUM_TREES", 1)


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """``make_study(reports=…, finished=…, …, name=…)`` → the directory of a study that `write_study` made."""

    def make(*given: Any, name: str = "synthetic", **state: Any) -> Path:
        return write_study(tmp_path / "runs" / name, *given, **state)

    return make


@pytest.fixture(scope="session")
def tiny_study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study file of the miniature, with models and images beside it."""
    from real_study import write_inputs  # which imports torch

    return write_inputs(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def real_study(tiny_study_file: Path) -> Path:
    """The directory of a real study of the miniature, run in this process: a trial that forgets, one that does not."""
    from real_study import run_real_study

    return run_real_study(tiny_study_file)
