"""The studies of the paper's large workloads: as the authors set them, refused with a way out, and run in miniature."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image

from diffusion.rng import stream
from metrics.testing_networks import write_descriptor
from tuning.config import ConfigError, load_config
from tuning.record_tables import read_table
from tuning.schema import StudyConfig
from tuning.studyfile import read_mapping

ROOT = Path(__file__).parents[1]
FETCHED_STUDIES = {
    "celeba_hq": ("celeba_hq", "sscd", "inception"),
    "stable_diffusion": ("stable_diffusion", "sscd", "clip"),
}


@pytest.mark.parametrize("name", FETCHED_STUDIES)
def test_the_study_holds_the_authors_settings(name: str) -> None:
    study = StudyConfig.model_validate(read_mapping(ROOT / "studies" / f"{name}.yaml"))
    rows, steps, rate = {"celeba_hq": (64, 60, 5e-6), "stable_diffusion": (16, 35, 1e-5)}[name]
    assert (study.batch_size * study.accumulation, study.rungs[-1], study.learning_rate) == (rows, steps, rate)
    assert study.gpus_per_trial == 1
    assert not study.log_forget_images


@pytest.mark.parametrize("name", FETCHED_STUDIES)
def test_what_lacks_is_named_with_the_command_that_fetches_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tuning.paths.PROJECT_ROOT", tmp_path)
    monkeypatch.setattr("metrics.encoder_files.FETCHED", tmp_path / "assets" / "fetched")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(ConfigError) as error:
        load_config(["--study", str(ROOT / "studies" / f"{name}.yaml"), "--storage-path", str(tmp_path)])
    message = str(error.value)
    for asset in FETCHED_STUDIES[name]:
        assert f"scripts/fetch_assets.py {asset}" in message, asset
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained pipeline of the size of no data set, pictures as JPEG, a copy descriptor in TorchScript."""
    folder = tmp_path_factory.mktemp("celeba in miniature")
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(folder / "model")
    pixels = torch.randint(256, (12, 16, 16, 3), generator=stream(0, "faces"), dtype=torch.uint8).numpy()
    (folder / "images").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "images" / f"{10_000 + number}.jpg")
    write_descriptor(folder / "tiny.torchscript.pt")
    return folder


@pytest.mark.study
def test_celeba_hq_ends_in_its_files(world: Path, tmp_path: Path) -> None:
    """Two faces of the folder one at a time, at the authors' 4 × 16 rows; fewer samples, and FID left out."""
    flags = [
        *("--model", str(world / "model"), "--retain", str(world / "images"), "--storage-path", str(tmp_path)),
        *("--forget", str(world / "images" / "10000.jpg"), str(world / "images" / "10003.jpg")),
        *("--forget-separately", "true", "--descriptor", str(world / "tiny.torchscript.pt"), "--features", "none"),
        *("--constraint", "membership_loss <= 100x", "--methods", "siss", "naive_deletion", "--num-trials", "2"),
        *("--rungs", "1", "2", "--num-images", "4", "--final-num-images", "8", "--num-sampling-steps", "2"),
        *("--num-denoising-steps", "2", "--num-likelihood-evaluations", "14", "--final-num-denoisings", "16"),
        *("--cpus-per-trial", "1", "--gpus-per-trial", "0", "--max-concurrent-trials", "1", "--ideal", "nll=1.5"),
        *("--report-metrics", "nll_neighbours"),
    ]
    command = [sys.executable, str(ROOT / "tune_unlearning.py"), "--study", str(ROOT / "studies" / "celeba_hq.yaml")]
    ended = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    reports = read_table(tmp_path / "celeba_hq" / "reports.csv")
    assert set(reports["forget_image"]) == {"10000|10003"}
    assert reports["sscd_num"].tolist() == [32] * 4
    assert reports[["sscd", "nll", "nll_spread", "nll_neighbours"]].notna().all().all()
    assert (tmp_path / "celeba_hq" / "report.html").is_file()
