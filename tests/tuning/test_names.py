"""Names of studies, trials and images become those of files: none of them may lead out of a storage path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tuning.config import Problem
from tuning.files import StudyFiles
from tuning.paths import name_problems

Find = Callable[..., list[Problem]]


@pytest.mark.parametrize("trial_id", ["../x", "/x", "", ".", "..", "a/b", "a\0b", "a\n", "é"])
def test_no_trial_id_leads_out_of_the_checkpoints(trial_id: str, tmp_path: Path) -> None:
    for place in (StudyFiles(tmp_path).checkpoint, StudyFiles(tmp_path).candidate):
        with pytest.raises(ValueError, match="a trial id must"):
            place(trial_id, 1)


@pytest.mark.parametrize(
    "name", ["..", ".", "", "/tmp/x", "a/b", "../x", "a\\b", "a\0b", "a\nb", "x" * 201, "é" * 101, ".baselines", "-x",
             "~", "mlflow.db", "mlartifacts", "a ", "\u202ex", "a\udcff"],
)  # fmt: skip
def test_a_study_cannot_be_called_that(name: str) -> None:
    assert name_problems(name)


@pytest.mark.parametrize("resume", [(), ("--resume",)])
@pytest.mark.parametrize("exists", [True, False])
def test_a_study_that_is_a_link_out_of_the_storage_path(
    problems_of: Find, workspace: Path, exists: bool, resume: tuple[str, ...]
) -> None:
    (workspace / "runs").mkdir()
    if exists:
        (workspace / "elsewhere").mkdir()
    (workspace / "runs" / "linked").symlink_to(workspace / "elsewhere")
    [problem] = problems_of("--name", "linked", *resume)
    assert "must lie in the storage path" in problem.rule


@pytest.mark.parametrize("name", ["a\nb", "...", "..", "a|b", "x" * 201, "a\tb", "\u202eb", "."])
def test_a_forget_image_that_no_file_can_be_called_after(problems_of: Find, workspace: Path, name: str) -> None:
    file = workspace / f"{name}.png"
    Image.new("L", (28, 28), 128).save(file, format="png")
    rules = [problem.rule for problem in problems_of("--forget", str(file))]
    assert any("the name of a forget image must be" in rule for rule in rules)


def test_images_in_other_folders_do_not_share_a_name(problems_of: Find, workspace: Path) -> None:
    (workspace / "a").mkdir()
    files = [str(workspace / "tshirt.png"), str(workspace / "a" / ".." / "a" / "tshirt.png")]
    Image.new("L", (28, 28), 128).save(files[1])
    rules = [problem.rule for problem in problems_of("--forget", *files, "--forget-separately", "true")]
    assert any("must differ in their file names" in rule for rule in rules)
