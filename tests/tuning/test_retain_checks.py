"""What is kept and what is forgotten must be told apart, or the study is refused before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_study import write_text_to_image

from tuning.config import Options, Problem, StudyConfig

Load = Callable[..., tuple[StudyConfig, Options]]
Find = Callable[..., list[Problem]]
SHIRT = np.full((28, 28), 128, np.uint8)


class TestUnconditional:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    @pytest.mark.parametrize("shape", [(3, 28, 28), (3, 28, 28, 1)])
    def test_an_archive_of_copies(
        self, problems_of: Find, workspace: Path, save: Callable[..., None], shape: tuple[int, ...]
    ) -> None:
        save(workspace / "copies.npz", images=np.full(shape, 128, np.uint8))
        (problem,) = problems_of("--retain", "copies.npz", "--unseen", "digits.npz")
        assert problem.rule == "there must be retain images besides the forget images, copies of which are left out"
        assert str(problem.value) == f"{workspace / 'copies.npz'}, which has none"
        assert "may keep" in problem.remedy

    def test_one_other_image_is_enough(self, load: Load, workspace: Path) -> None:
        for order in ("C", "F"):
            images = np.array([SHIRT, SHIRT, SHIRT.T + 1], order=order)
            np.savez(workspace / "copies.npz", images=images)
            assert load("--retain", "copies.npz", "--unseen", "digits.npz")

    def test_rows_of_images_side_by_side(self, problems_of: Find, workspace: Path) -> None:
        shirt = np.arange(784, dtype=np.uint16).reshape(28, 28).astype(np.uint8)
        Image.fromarray(shirt).save(workspace / "tshirt.png")
        np.savez(workspace / "copies.npz", images=np.asfortranarray([shirt, shirt]))
        assert len(problems_of("--retain", "copies.npz", "--unseen", "digits.npz")) == 1

    def test_a_folder_of_copies_in_any_format(self, load: Load, problems_of: Find, workspace: Path) -> None:
        (workspace / "kept").mkdir()
        shutil.copy(workspace / "tshirt.png", workspace / "kept" / "a.png")
        Image.fromarray(SHIRT).convert("RGB").save(workspace / "kept" / "b.bmp")
        (problem,) = problems_of("--retain", "kept", "--unseen", "digits.npz")
        assert "besides the forget images" in problem.rule
        Image.fromarray(SHIRT + 1).save(workspace / "kept" / "c.png")
        assert load("--retain", "kept", "--unseen", "digits.npz")

    def test_copies_of_several_forget_images(self, problems_of: Find, workspace: Path) -> None:
        Image.fromarray(SHIRT + 1).save(workspace / "other.png")
        np.savez(workspace / "copies.npz", images=np.array([SHIRT, SHIRT + 1, SHIRT]))
        flags = ("--retain", "copies.npz", "--unseen", "digits.npz", "--forget", "tshirt.png", "other.png")
        (problem,) = problems_of(*flags)
        assert "besides the forget images" in problem.rule

    def test_a_workload_from_outside_may_do_with_copies(self, load: Load, workspace: Path) -> None:
        np.savez(workspace / "digits.npz", images=SHIRT[None])
        assert load("--workload", "trainable.testing:TinyWorkload")


class TestLabels:
    @pytest.fixture
    def flags(self, workspace: Path) -> tuple[str, ...]:
        return write_text_to_image(workspace)

    def save(self, workspace: Path, **changes: np.ndarray) -> None:
        with np.load(workspace / "generated.npz") as archive:
            arrays = dict(archive)
        np.savez(workspace / "generated.npz", **{**arrays, **changes})

    @pytest.mark.parametrize(
        ("labels", "value"),
        [
            (np.ones(4, bool), "all of which are memorised"),
            (np.zeros(4, bool), "all of which are not memorised"),
            (np.array([True, False]), "whose 4 images have 'memorised' of bool (2,)"),
            (np.array([1, 0, 1, 0]), "'memorised' of int64 (4,)"),
            (np.array([{}]), "'memorised' cannot be read"),
        ],
        ids=["memorised", "not memorised", "few", "numbers", "objects"],
    )
    def test_labels_of_an_archive(
        self, problems_of: Find, flags: tuple[str, ...], workspace: Path, labels: np.ndarray, value: str
    ) -> None:
        self.save(workspace, memorised=labels)
        (problem,) = problems_of(*flags)
        assert problem.rule.startswith("every image of a prompt must have a label, and both kinds")
        assert value in str(problem.value)
        assert "labels.csv" in problem.remedy

    @pytest.mark.parametrize(
        ("content", "value"),
        [
            (None, "which has no labels.csv"),
            (b"file,memorised\na.png,1\nb.png,1\n", "all of which are memorised"),
            (b"file,memorised\na.png,1\n", "does not give file,memorised (0 or 1) of every picture"),
            (b"file,memorised\na.png,1\nb.png,no\n", "does not give file,memorised (0 or 1)"),
            (b"file,memorised\n\xff.png,1\n", "in UTF-8"),
            (b"", "does not give file,memorised"),
        ],
        ids=["missing", "all memorised", "few", "words", "not UTF-8", "empty"],
    )
    def test_labels_of_a_folder(
        self, problems_of: Find, flags: tuple[str, ...], workspace: Path, content: bytes | None, value: str
    ) -> None:
        (workspace / "made").mkdir()
        for number, name in enumerate(("a.png", "b.png")):
            Image.new("RGB", (32, 32), (number,) * 3).save(workspace / "made" / name)
        if content is not None:
            (workspace / "made" / "labels.csv").write_bytes(content)
        (problem,) = problems_of(*flags, "--retain", "made")
        assert value in str(problem.value)

    def test_images_without_labels(self, problems_of: Find, flags: tuple[str, ...], workspace: Path) -> None:
        np.savez(workspace / "generated.npz", images=np.zeros((2, 32, 32, 3), np.uint8))
        (problem,) = problems_of(*flags)
        assert "which has no array 'memorised'" in str(problem.value)

    def test_the_memorised_image_labelled_as_not_memorised(
        self, load: Load, problems_of: Find, flags: tuple[str, ...], workspace: Path
    ) -> None:
        assert load(*flags)
        self.save(workspace, memorised=np.array([False, True, True, False]))
        (problem,) = problems_of(*flags)
        assert problem.rule == "the memorised image must not be labelled as not memorised"
        assert str(problem.value) == f"{workspace / 'generated.npz'}, where image 1 is the forget image"
        assert problem.remedy == "label it as memorised"

    def test_the_same_in_a_folder(self, load: Load, problems_of: Find, flags: tuple[str, ...], workspace: Path) -> None:
        (workspace / "made").mkdir()
        shutil.copy(workspace / "shirt.png", workspace / "made" / "copy.png")
        Image.new("RGB", (32, 32), (9, 9, 9)).save(workspace / "made" / "other.png")
        labels = workspace / "made" / "labels.csv"
        labels.write_text("file,memorised\ncopy.png,0\nother.png,1\n", encoding="utf-8")
        (problem,) = problems_of(*flags, "--retain", "made")
        assert "where copy.png is the forget image" in str(problem.value)
        labels.write_text("file,memorised\ncopy.png,1\nother.png,0\n", encoding="utf-8")
        assert load(*flags, "--retain", "made")

    def test_images_of_another_size_than_the_autoencoder_makes(
        self, problems_of: Find, flags: tuple[str, ...], workspace: Path
    ) -> None:
        Image.new("RGB", (64, 32)).save(workspace / "shirt.png")
        (problem,) = problems_of(*flags)
        assert problem.rule == "forget images must have the model's size, 32×32 pixels"
        assert "64×32" in str(problem.value)
