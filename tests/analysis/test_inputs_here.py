"""A study that was moved to another machine: its models and images are found by the ends of their paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_study import make_config

from analysis.inputs import with_inputs_here
from analysis.load import StudyError
from tuning.paths import PROJECT_ROOT

ELSEWHERE = "/home/somebody/project"


def test_what_is_there_stays(tmp_path: Path) -> None:
    model = tmp_path / "base"
    model.mkdir()
    config = make_config(model=str(model))
    assert with_inputs_here(config, ("model",)).model == str(model.resolve())


def test_embedded_assets_of_another_machine_are_found_in_the_repository() -> None:
    tshirt = "assets/mnist_tshirt/tshirt.png"
    config = make_config(model=f"{ELSEWHERE}/assets/mnist_tshirt/base", forget=(f"{ELSEWHERE}/{tshirt}",))
    found = with_inputs_here(config, ("model", "forget"))
    assert found.model == str(PROJECT_ROOT / "assets" / "mnist_tshirt" / "base")
    assert found.forget == (str(PROJECT_ROOT / tshirt),)


def test_a_directory_that_is_named_is_looked_through_first(tmp_path: Path) -> None:
    (tmp_path / "cat.png").touch()
    config = make_config(forget=(f"{ELSEWHERE}/cat.png",))
    assert with_inputs_here(config, ("forget",), tmp_path).forget == (str((tmp_path / "cat.png").resolve()),)
    with pytest.raises(StudyError, match="forget must be on this machine"):
        with_inputs_here(config, ("forget",))


def test_a_lone_name_of_the_current_directory_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(StudyError, match="retain must be on this machine"):
        with_inputs_here(make_config(retain="/data/images"), ("retain",))


def test_everything_that_is_missing_is_named_at_once_and_hub_ids_pass() -> None:
    config = make_config(model="google/ddpm-celebahq-256", retain="/gone/retain.npz", forget=("/gone/a.png", "/gone/b"))
    with pytest.raises(StudyError) as refused:
        with_inputs_here(config, ("model", "retain", "forget", "prompts"))
    for name in ("/gone/retain.npz", "/gone/a.png", "/gone/b"):
        assert name in str(refused.value)
    assert "google" not in str(refused.value)
    assert with_inputs_here(config, ("model",)).model == "google/ddpm-celebahq-256"


def test_a_missing_published_network_is_fetched(tmp_path: Path) -> None:
    config = make_config(model=f"{ELSEWHERE}/assets/fetched/celeba_hq/ddpm-celebahq-256")
    with pytest.raises(StudyError, match=r"run python scripts/fetch_assets\.py celeba_hq"):
        with_inputs_here(config, ("model",))
