"""The paper's Stable Diffusion data become folders that a study reads; what is not as described is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from scripts.convert_paper_prompts import main
from trainable.workloads.labelled_images import load_labelled
from trainable.workloads.prompts import find_prompt
from trainable.workloads.stable_diffusion import EMBEDDING_ARRAY

LABELS = {"rocky_000.png": 0, "rocky_001.png": 1, "rocky_002.png": 1}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The authors' layout with two prompts, one of them an embedding."""
    root = tmp_path / "paper" / "data" / "datasets"
    for name in ("rocky", "wave"):
        images = root / "sd" / name / "images"
        images.mkdir(parents=True)
        labels = {file.replace("rocky", name): label for file, label in LABELS.items()}
        for number, file in enumerate(labels):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(images / file)
        (root / "sd" / name / "kmeans_labels.json").write_text(json.dumps(labels))
        (root / "sd" / name / "clustering_info.json").write_text(json.dumps({"mem_idx": 2}))
    torch.save(torch.ones(1, 5, 4, requires_grad=True), root / "sd" / "wave" / "aug_prompt.pt")
    (root / "original_prompts.json").write_text(json.dumps({"rocky": "Rocky – gibt", "wave": "a wave"}))
    (root / "modified_prompts.json").write_text(json.dumps({"rocky": "gibt", "wave": "sd/wave/aug_prompt.pt"}))
    return tmp_path / "paper"


@pytest.fixture
def convert(data: Path, tmp_path: Path) -> Callable[..., int]:
    return lambda *names: main([*names, "--data", str(data), "--target", str(tmp_path / "made")])


def test_a_folder_is_what_the_workload_reads(convert: Callable[..., int], tmp_path: Path) -> None:
    assert convert() == 0
    made = tmp_path / "made" / "rocky"
    labelled = load_labelled(made / "images", channels=3, size=(16, 16))
    assert labelled.memorised.tolist() == [False, True, True]
    assert labelled.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    prompt = find_prompt(made / "prompts.yaml", "memorised.png")
    assert (prompt.original, prompt.modified) == ("Rocky – gibt", "gibt")
    assert Image.open(made / "memorised.png").getpixel((0, 0)) == (2, 0, 0)


def test_a_pickled_embedding_becomes_safetensors(convert: Callable[..., int], tmp_path: Path) -> None:
    assert convert("wave") == 0
    assert not (tmp_path / "made" / "rocky").exists()
    file = find_prompt(tmp_path / "made" / "wave" / "prompts.yaml", "memorised.png").modified
    assert torch.equal(load_file(file)[EMBEDDING_ARRAY], torch.ones(1, 5, 4))


def test_an_embedding_that_would_run_code_is_not_read(
    convert: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = next(data.rglob("aug_prompt.pt"))
    torch.save({"call": print}, place)
    assert convert("wave") == 1
    assert "must be a tensor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("original_prompts.json", None, "must hold the paper's data"),
        ("modified_prompts.json", "[]", "must be a JSON object"),
        ("sd/rocky/kmeans_labels.json", "{", "cannot be read"),
        ("sd/rocky/clustering_info.json", '{"mem_idx": 9}', "must number the memorised image"),
        ("sd/rocky/clustering_info.json", "{}", "must number the memorised image"),
        ("sd/rocky/images/rocky_001.png", None, "must lie in"),
    ],
)
def test_other_data_are_refused(
    convert: Callable[..., int],
    data: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    content: str | None,
    message: str,
) -> None:
    place = data / "data" / "datasets" / file
    place.unlink() if content is None else place.write_text(content)
    assert convert("rocky") == 1
    assert message in capsys.readouterr().err


def test_an_unknown_prompt_is_refused(convert: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        convert("rokcy")
    assert exit_.value.code == 2
    assert "must be one of rocky, wave, but got rokcy" in capsys.readouterr().err
