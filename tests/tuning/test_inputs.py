"""What a configuration names, images, encoders, models and databases, is looked at before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_study import set_keys, write_safetensors

import tune_unlearning
from metrics.encoders import ENCODERS
from trainable.workloads.images import load_images
from tuning.checks.storage import check_optuna_storage
from tuning.config import ConfigError, Objective, Options, Problem, StudyConfig
from tuning.optuna_store import open_study

Load = Callable[..., tuple[StudyConfig, Options]]


class TestImages:
    """What is refused would be refused by the loader, and the other way round."""

    @pytest.fixture
    def retain_problems(self, problems_of: Callable[..., list[Problem]]) -> Callable[[str], list[Problem]]:
        return lambda place: problems_of("--retain", place, "--unseen", "digits.npz")

    @pytest.mark.parametrize("size", [(32, 28), (16, 16), (28, 27)])
    def test_a_forget_image_of_another_size(
        self, problems_of: Callable[..., list[Problem]], workspace: Path, size: tuple[int, int]
    ) -> None:
        Image.new("L", size).save(workspace / "other.png")
        (problem,) = problems_of("--forget", "other.png")
        assert problem.rule == "forget images must have the model's size, 28×28 pixels"
        assert f"other.png, {size[0]}×{size[1]}" in str(problem.value)
        assert "scale" in problem.remedy

    @pytest.mark.parametrize("size", [(32, 28), (16, 16), (28, 27)])
    def test_a_retain_image_of_another_size(
        self, retain_problems: Callable[[str], list[Problem]], workspace: Path, size: tuple[int, int]
    ) -> None:
        (workspace / "kept").mkdir()
        Image.new("L", (28, 28)).save(workspace / "kept" / "a.png")
        Image.new("L", size).save(workspace / "kept" / "b.JPG", "jpeg")
        (problem,) = retain_problems("kept")
        assert problem.rule == "retain images must have the model's size, 28×28 pixels"
        assert f"b.JPG, {size[0]}×{size[1]}" in str(problem.value)

    def test_only_some_files_of_a_large_folder_are_looked_at(
        self, load: Load, retain_problems: Callable[[str], list[Problem]], workspace: Path
    ) -> None:
        (workspace / "kept").mkdir()
        for number in range(40):
            Image.new("L", (28, 28)).save(workspace / "kept" / f"{number:02}.png")
        (workspace / "kept" / "01.png").write_bytes(b"")
        assert load("--retain", "kept", "--unseen", "digits.npz")
        (workspace / "kept" / "00.png").write_bytes(b"")
        (problem,) = retain_problems("kept")
        assert problem.rule == "retain must hold whole image files"
        assert "00.png" in str(problem.value)

    @pytest.mark.parametrize("name", ["sub/a.png", "a.tif", "a.tiff", "a.gif"])
    def test_files_that_the_loader_passes_over(
        self, retain_problems: Callable[[str], list[Problem]], workspace: Path, name: str
    ) -> None:
        (workspace / "kept" / "sub").mkdir(parents=True)
        Image.new("L", (28, 28)).save(workspace / "kept" / name)
        (problem,) = retain_problems("kept")
        assert problem.rule == "retain must hold images"
        assert ".bmp" in problem.remedy
        with pytest.raises(FileNotFoundError):
            load_images(workspace / "kept", channels=1, size=(28, 28))

    @pytest.mark.parametrize(
        ("arrays", "finding"),
        [
            ({"digits": np.zeros((2, 28, 28), np.uint8)}, "has no array 'images'"),
            ({"images": np.zeros((2, 28, 28))}, "are float64 (2, 28, 28)"),
            ({"images": np.zeros((28, 28), np.uint8)}, "are uint8 (28, 28)"),
            ({"images": np.zeros((0, 28, 28), np.uint8)}, "shape (0, 28, 28)"),
            ({"images": np.array([{}])}, "are object (1,)"),
            ({"images": np.zeros((2, 32, 28), np.uint8)}, "digits.npz, 28×32"),
            ({"images": np.zeros((2, 16, 16, 1), np.uint8)}, "digits.npz, 16×16"),
            ({"images": np.zeros((2, 28, 28, 3), np.uint8)}, "digits.npz, 3"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_archives_that_the_loader_refuses(
        self, problems_of: Callable[..., list[Problem]], workspace: Path, arrays: dict[str, np.ndarray], finding: str
    ) -> None:
        for save in (np.savez, np.savez_compressed):
            save(workspace / "digits.npz", **arrays)
            found = problems_of()
            assert [problem.rule.split()[0] for problem in found] == ["retain", "unseen"]
            assert all(finding in str(problem.value) for problem in found)
            with pytest.raises(ValueError, match="images"):
                load_images(workspace / "digits.npz", channels=1, size=(28, 28))

    def test_archives_that_the_loader_takes(self, load: Load, workspace: Path) -> None:
        for shape in ((2, 28, 28), (2, 28, 28, 1)):
            np.savez_compressed(workspace / "digits.npz", images=np.zeros(shape, np.uint8), labels=np.array([{}]))
            assert load()
            assert load_images(workspace / "digits.npz", channels=1, size=(28, 28)).shape == (2, 1, 28, 28)

    def test_only_the_header_of_an_archive_is_read(self, load: Load, workspace: Path) -> None:
        np.savez(workspace / "digits.npz", images=np.zeros((2000, 28, 28), np.uint8))
        content = bytearray((workspace / "digits.npz").read_bytes())
        content[len(content) // 2] ^= 255
        (workspace / "digits.npz").write_bytes(content)
        assert load()

    def test_an_archive_of_another_name(self, retain_problems: Callable[[str], list[Problem]], workspace: Path) -> None:
        (workspace / "digits.zip").write_bytes((workspace / "digits.npz").read_bytes())
        (problem,) = retain_problems("digits.zip")
        assert "which is neither" in str(problem.value)


class TestIdeal:
    """A hypervolume needs an ideal of every objective before anything is started."""

    def test_another_forget_image_without_unseen_images(
        self, problems_of: Callable[..., list[Problem]], workspace: Path
    ) -> None:
        set_keys(workspace, unseen=None)
        (problem,) = problems_of("--forget", "tshirt.png")
        assert "an objective other than sscd needs an ideal" in problem.rule
        assert problem.value == (
            "maximize nll without retrained_model or unseen images "
            "(retrained_model of the study file belongs to what --forget replaced)"
        )
        assert "--retrained-model" in problem.remedy
        assert "--unseen" in problem.remedy

    def test_another_model(self, load: Load, problems_of: Callable[..., list[Problem]]) -> None:
        (problem,) = problems_of("--model", "retrained")
        assert "(retrained_model and unseen of the study file belong to what --model replaced)" in str(problem.value)
        assert load("--model", "retrained", "--unseen", "digits.npz")
        assert load("--model", "retrained", "--retrained-model", "base")

    def test_unseen_images_say_nothing_of_other_metrics(
        self, load: Load, problems_of: Callable[..., list[Problem]]
    ) -> None:
        objectives = ("--objectives", "minimize sscd", "maximize nll", "minimize fid")
        assert load(*objectives)
        (problem,) = problems_of(*objectives, "--retrained-model", "none")
        assert problem.value == "minimize fid without retrained_model"
        assert "--unseen" not in problem.remedy


class TestEncoders:
    @pytest.mark.parametrize(
        ("name", "metadata", "finding"),
        [
            ("encoder.safetensors", {}, "which names none"),
            ("encoder.safetensors", {"architecture": "resnet50"}, "which names resnet50"),
            ("encoder.pt", None, "encoder.pt"),
            ("encoder.safetensors", None, "encoder.safetensors"),
        ],
    )
    def test_what_load_encoder_cannot_read(
        self,
        problems_of: Callable[..., list[Problem]],
        workspace: Path,
        name: str,
        metadata: dict[str, str] | None,
        finding: str,
    ) -> None:
        if metadata is None:
            (workspace / name).write_bytes(b"PK\x03\x04 a torch archive")
        else:
            write_safetensors(workspace / name, **metadata)
        found = problems_of("--descriptor", name, "--features", name, "--classifier", name)
        assert [problem.rule.split()[0] for problem in found] == ["descriptor", "features", "classifier"]
        assert finding in str(found[0].value)
        assert "metrics.encoders.save_encoder" in found[0].remedy

    def test_a_workload_from_outside_reads_files_of_its_own(self, load: Load, workspace: Path) -> None:
        (workspace / "encoder.pt").write_bytes(b"anything")
        assert load("--workload", "trainable.testing:TinyWorkload", "--descriptor", "encoder.pt")

    def test_every_architecture_is_registered_under_its_own_name(self) -> None:
        assert {name: kind.architecture for name, kind in ENCODERS.items()} == {name: name for name in ENCODERS}


class TestOptunaStorage:
    """A study in a shared database is never taken up by accident."""

    @pytest.fixture(params=["sqlite:///{}/optuna.db", "{}/optuna.journal"])
    def storage(self, request: pytest.FixtureRequest, workspace: Path) -> str:
        return str(request.param).format(workspace)

    def hold(self, storage: str, name: str) -> None:
        open_study(storage, name, [Objective("sscd", "minimize")])

    def test_a_name_that_is_taken_needs_resume(self, load: Load, workspace: Path, storage: str) -> None:
        config, _ = load("--optuna-storage", storage)
        check_optuna_storage(config, resume=False)
        assert not list(workspace.glob("optuna.*")), "asking made a database"
        self.hold(storage, "another")
        check_optuna_storage(config, resume=False)
        self.hold(storage, "tshirt")
        with pytest.raises(ConfigError, match=r"must be new in optuna_storage.* tshirt in .*: give another --name"):
            check_optuna_storage(config, resume=False)
        check_optuna_storage(config, resume=True)

    @pytest.mark.parametrize("flags", [(), ("--dry-run",)])
    def test_the_launch_command_ends_with_status_2(
        self, workspace: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
    ) -> None:
        url = f"sqlite:///{workspace}/optuna.db"
        self.hold(url, "tshirt")
        assert tune_unlearning.main(["--study", "study.yaml", "--optuna-storage", url, *flags]) == 2
        assert "must be new in optuna_storage" in capsys.readouterr().err
        assert not (workspace / "runs").exists()

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://nobody@127.0.0.1:1/none",
            "postgresql://h:x/db",
            "nosuch://host/db",
            "sqlite:////nowhere/optuna.db",
            "sqlite:///study.yaml",
            "study.yaml",
            "base",
        ],
    )
    def test_a_storage_that_cannot_be_asked(self, load: Load, url: str) -> None:
        config, _ = load("--optuna-storage", url)
        for resume in (False, True):
            with pytest.raises(ConfigError, match=r"optuna_storage must be .* that can be opened"):
                check_optuna_storage(config, resume)
