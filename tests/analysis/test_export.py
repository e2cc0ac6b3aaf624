"""A model taken home: a plain pipeline that samples the same images where nothing of this project is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline

from analysis.candidate_model import open_source, put_weights
from analysis.certificates.digests import network_digest, weights_digest
from analysis.export import export, main
from analysis.load import load_study
from analysis.member import find_member
from trainable.depot import Depot
from tuning.config import load_config
from tuning.files import StudyFiles
from tuning.sources import source_of

#: Run where only site-packages are to be found.
ALONE = """
import sys
try:
    import trainable
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the project can be imported")
import numpy, torch
from diffusers import DiffusionPipeline
torch.set_num_threads(1)
for number, place in enumerate(sys.argv[2:]):
    pipeline = DiffusionPipeline.from_pretrained(place)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(2, torch.Generator().manual_seed(3), num_inference_steps=4, output_type="np").images
    numpy.save(f"{sys.argv[1]}/{number}.npy", images)
"""


def sampled(pipeline: DDPMPipeline) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    images = pipeline(2, generator, num_inference_steps=4, output_type="np").images
    return np.asarray(images)


def test_a_model_of_a_study_on_gpus_is_opened_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config, _ = load_config(["--gpus-per-trial", "1", "--precision", "bf16"])
    device = open_source(config).device
    assert device.claim() == torch.device("cpu")
    assert device.precision == "bf16"


def test_what_is_exported_samples_the_same_images_without_this_project(
    real_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A front member, which is copied, and another candidate, which is made from its weights."""
    study, files = load_study(real_study), StudyFiles(real_study)
    storage = ["--storage-path", str(real_study.parent)]
    assert main(["tiny", str(tmp_path / "member"), *storage]) == 0
    assert capsys.readouterr().err.startswith("load libraries\n")
    assert main(["tiny", str(tmp_path / "other"), "--trial", "1", "--step", "2", "--quiet", *storage]) == 0
    assert capsys.readouterr().err == ""
    source = source_of(study.config, 1)
    workload, expected = source.open(), []
    for key in (("00000", 24), ("00001", 2)):
        denoiser = workload.load(study.config.model)
        weights = files.candidate(*key).with_name(f"{key[0]}-{key[1]}.safetensors")
        put_weights(denoiser.network, weights)
        workload.save_pipeline(denoiser.network, tmp_path / "own" / key[0])
        scheduler = DDPMPipeline.from_pretrained(study.config.model).scheduler
        expected.append(sampled(DDPMPipeline(unet=denoiser.network.eval(), scheduler=scheduler)))
        assert network_digest(str(tmp_path / ("member" if key[1] == 24 else "other"))) == weights_digest([weights])
    places = [str(tmp_path / name) for name in ("member", "other")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = [sys.executable, "-I", "-c", ALONE, str(elsewhere), *places]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=elsewhere, timeout=300)
    assert ended.returncode == 0, ended.stderr
    for number, images in enumerate(expected):
        assert np.array_equal(np.load(elsewhere / f"{number}.npy"), images)
    assert not np.array_equal(*expected)
    for place in places:
        assert not list(Path(place).rglob("*.bin"))
        assert "pipeline" in (Path(place) / "README.md").read_text(encoding="utf-8"), "its card"
        assert str(real_study) not in (Path(place) / "model_index.json").read_text()
        assert json.loads((Path(place) / "model_index.json").read_text())["_class_name"] == "DDPMPipeline"


def test_a_directory_with_something_in_it_is_refused_and_left_alone(
    real_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert main(["tiny", str(tmp_path / "full"), "--storage-path", str(real_study.parent)]) == 2
    assert "DIR must be new or empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert main(["tiny", str(tmp_path / "empty"), "--storage-path", str(real_study.parent)]) == 0
    assert "copy the pipeline" in capsys.readouterr().err
    assert (tmp_path / "empty" / "model_index.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_what_fails_on_the_way_leaves_nothing(
    real_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(real_study, copy)
    weights = StudyFiles(copy).candidates / "00001-2.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    target = tmp_path / "out" / "model"
    words = ["tiny", str(target), "--trial", "1", "--step", "2", "--storage-path", str(copy.parent)]
    assert main(words) == 2
    assert "the weights of a model must be whole" in capsys.readouterr().err
    assert not list(target.parent.iterdir())
    weights.unlink()
    assert main(words) == 2
    assert "copy them from where the study was run" in capsys.readouterr().err


def test_models_come_from_the_object_store_and_none_stays_here(s3: str, real_study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(real_study, copy)
    files = StudyFiles(copy)
    text = files.study.read_text(encoding="utf-8")
    lines = [f"storage_path: {s3}/export" if line.startswith("storage_path:") else line for line in text.splitlines()]
    files.study.write_text("\n".join(lines) + "\n", encoding="utf-8")
    store = Depot(copy, f"{s3}/export")
    store.hand_over([files.candidates, files.checkpoints])
    assert not files.checkpoints.exists()
    study = load_study(copy)
    for number, key in enumerate((("00000", 24), ("00001", 24))):
        target = export(study, find_member(study, *key), tmp_path / str(number))
        expected = real_study / "candidates" / f"{key[0]}-{key[1]}.safetensors"
        assert network_digest(str(target)) == weights_digest([expected])
    assert not [path for folder in (files.candidates, files.checkpoints) for path in folder.rglob("*")]
