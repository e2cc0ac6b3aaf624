"""``--quiet``: nothing on success, errors all the same, and the configuration where it is what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tune_unlearning
from tuning import study, summary
from tuning.config import ConfigError, StudyConfig, load_config


@pytest.fixture
def launch(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The launch command, with a study in the place of Ray's that does or says what it is told."""

    def run(*flags: str, fails: bool = False) -> int:
        def run_study(config: StudyConfig, view: Any, *, resume: bool) -> None:
            with_progress(view)
            if fails:
                raise RuntimeError("no GPU")

        def with_progress(view: Any) -> None:
            view.stage("trials", 2)
            view.trials(1, 1, 0, 2, under_way=0.5)
            view.message("trial 00001 is taken up again")

        monkeypatch.setattr(study, "run_study", run_study)
        monkeypatch.setattr(summary, "final_summary", lambda console, result, config: console.print("the front"))
        monkeypatch.setattr("tuning.authentication.guard_local_ray", lambda address: None)
        return tune_unlearning.main(["--study", "study.yaml", *flags])

    return run


def test_a_quiet_study_that_goes_well_prints_nothing(
    launch: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert launch() == 0
    out = capsys.readouterr().out
    assert "trials: 2" in out
    assert "taken up again" in out
    assert out.endswith("the front\n")


def test_what_goes_wrong_is_said_all_the_same(launch: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("--quiet", fails=True) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "the study failed: no GPU" in err
    assert "--resume" in err
    assert launch("--quiet", "--num-trials", "0") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "num_trials" in err


def test_a_dry_run_prints_what_it_is_asked_for(launch: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("--quiet", "--dry-run") == 0
    assert "# Nothing was started or written." in capsys.readouterr().out


def test_it_is_an_option_and_no_field_of_a_study(workspace: Path) -> None:
    assert load_config(["--study", "study.yaml", "--quiet"])[1].quiet
    assert not load_config(["--study", "study.yaml"])[1].quiet
    assert "quiet" not in StudyConfig.model_fields
    with pytest.raises(ConfigError, match="--quiet must have no value"):
        load_config(["--study", "study.yaml", "--quiet", "yes"])
