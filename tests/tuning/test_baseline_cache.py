"""A baseline is taken from an earlier study exactly when all that it depends on is the same."""

import math
from dataclasses import replace

import pytest

from trainable.testing import write_tiny_study
from tuning.baseline import Baseline, Measured
from tuning.baseline_cache import content_key, keep, recall
from tuning.config import load_config
from tuning.files import StudyFiles
from tuning.study import _baseline

BASELINE = Baseline(
    {
        "untouched": {"nll": Measured(3.0, 0.1, 4), "fid": Measured(5.0, 0.5, 9, (4.5, 5.5))},
        "untouched_search": {"nll": Measured(3.1, 0.2, 2)},
    },
    calibration={"retain_gradient_norm": 50.0, "forget_gradient_norm": 170.0},
    labels={"fid": "FID (random features)"},
    blocks={16: {"fid": Measured(9.0, 0.5, 16, (8.5, 9.5))}},
    variety=0.25,
    grid_error=0.004,
)


class Said:
    """Keeps what a view is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def stage(self, *_: object) -> None:
        pass

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tiny")
    return write_tiny_study(directory)


def config(study, storage, *flags):
    return load_config(["--study", str(study), "--storage-path", str(storage), *flags])[0]


def test_what_decides_the_baseline_decides_the_key(study, tmp_path):
    key = content_key(config(study, tmp_path))
    for same in (["--name", "other"], ["--num-trials", "3"], ["--methods", "siss"], ["--learning-rate", "1e-5"],
                 ["--gradient-checkpointing"], ["--max-violation", "9"]):  # fmt: skip
        assert content_key(config(study, tmp_path, *same)) == key, same
    for other in (["--seed", "5"], ["--num-images", "23"], ["--injection-timestep", "400"], ["--batch-size", "4"],
                  ["--bound-confidence", "0.9"],
                  ["--precision", "bf16"], ["--allow-tf32", "false"]):  # fmt: skip
        assert content_key(config(study, tmp_path, *other)) != key, other


def test_an_image_that_changed_under_the_same_name_changes_the_key(study, tmp_path):
    before = content_key(config(study, tmp_path))
    image = study.parent / "forget.png"
    content = image.read_bytes()
    try:
        image.write_bytes(content + b"\0")
        assert content_key(config(study, tmp_path)) != before
    finally:
        image.write_bytes(content)
    assert content_key(config(study, tmp_path)) == before


def test_every_module_of_an_extension_decides_the_key(study, tmp_path, monkeypatch):
    package = tmp_path / "outside"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "eyes.py").write_text("import outside.helper\nfrom trainable.testing import TinyWorkload as Eyes\n")
    (package / "helper.py").write_text("SIZE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = config(study, tmp_path, "--workload", "outside.eyes:Eyes")
    before = content_key(chosen)
    assert content_key(chosen) == before
    (package / "helper.py").write_text("SIZE = 2\n")
    assert content_key(chosen) != before


def test_a_kept_baseline_comes_back_with_its_pictures(study, tmp_path):
    chosen = config(study, tmp_path)
    first, second = StudyFiles(tmp_path / "first"), StudyFiles(tmp_path / "second")
    first.images.mkdir(parents=True)
    for name in ("untouched", "untouched_search", "00001-10"):
        (first.images / f"{name}-samples.png").write_bytes(b"picture")
    assert recall(chosen, "key", second) is None
    keep(chosen, "key", BASELINE, first)
    assert recall(chosen, "key", second) == BASELINE
    pictures = {path.name: path.read_bytes() for path in second.images.iterdir()}
    assert pictures == {"untouched-samples.png": b"picture", "untouched_search-samples.png": b"picture"}
    assert recall(chosen, "another", second) is None


@pytest.mark.parametrize(("error", "is_said"), [(0.01, False), (0.0104, True), (math.nan, False)])
def test_a_likelihood_on_too_coarse_a_grid_is_said_also_of_a_known_baseline(study, tmp_path, error, is_said):
    given, view = config(study, tmp_path), Said()
    files = StudyFiles(given.root)
    files.root.mkdir(parents=True)
    keep(given, content_key(given), replace(BASELINE, grid_error=error), files)
    found = _baseline(given, None, files, view, resume=False)
    assert found.grid_error == pytest.approx(error, nan_ok=True)
    assert len(view.messages) == is_said
    for text in view.messages:
        assert f"is {error} bits per dimension" in text
        assert text.endswith("raise num_likelihood_evaluations, which is 16")
