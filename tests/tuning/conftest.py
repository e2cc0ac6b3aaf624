"""A small study file in the current directory, and what is found in it under given flags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import write_study

from tuning.config import ConfigError, Options, Problem, StudyConfig, load_config

Load = Callable[..., tuple[StudyConfig, Options]]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a study in it."""
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path)
    return tmp_path


@pytest.fixture
def load(workspace: Path) -> Load:
    return lambda *flags: load_config(["--study", "study.yaml", *flags])


@pytest.fixture
def problems_of(load: Load, workspace: Path) -> Callable[..., list[Problem]]:
    """The problems that flags give; checks that nothing was written meanwhile."""

    def find(*flags: str) -> list[Problem]:
        before = sorted(workspace.rglob("*"))
        with pytest.raises(ConfigError) as error:
            load(*flags)
        assert sorted(workspace.rglob("*")) == before
        return list(error.value.problems)

    return find
