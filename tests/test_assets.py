"""The embedded files are those that assets/README.md describes, and load with what users have."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline

ASSETS = Path(__file__).parents[1] / "assets"
MNIST_TSHIRT = ASSETS / "mnist_tshirt"
MEBIBYTE = 2**20


def test_readme_lists_every_file_with_its_size_and_hash() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", (ASSETS / "README.md").read_text(), re.M)
    listed = {name: (int(size.replace(",", "")), digest) for name, size, digest in rows}
    found = {
        str(path.relative_to(ASSETS)): (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in MNIST_TSHIRT.rglob("*")
        if path.is_file()
    }
    assert listed == found


def test_assets_stay_small() -> None:
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 22 * MEBIBYTE


def test_no_file_names_a_place_on_the_machine_that_made_it() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in ASSETS.rglob("*.json")}
    assert texts
    assert [path for path, text in texts.items() if "_name_or_path" in text] == []


@pytest.mark.parametrize("name", ["base", "retrained"])
def test_pipelines_load_and_predict_noise(name: str) -> None:
    pipeline = DDPMPipeline.from_pretrained(MNIST_TSHIRT / name)
    noise = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    timesteps = torch.full((8,), 900)
    with np.load(MNIST_TSHIRT / "digits.npz") as arrays:
        digits = torch.from_numpy(arrays["images"][::1250].astype(np.float32) / 127.5 - 1.0)[:, None]
    noisy = pipeline.scheduler.add_noise(digits, noise, timesteps)
    with torch.no_grad():
        predicted = pipeline.unet(noisy, timesteps).sample
    assert (predicted - noise).square().mean() < 0.02


def test_unseen_digits_are_not_among_the_training_digits() -> None:
    with np.load(MNIST_TSHIRT / "digits.npz") as seen, np.load(MNIST_TSHIRT / "unseen.npz") as unseen:
        assert seen["images"].shape == (10_000, 28, 28)
        assert {image.tobytes() for image in seen["images"]}.isdisjoint(image.tobytes() for image in unseen["digits"])
        assert len(unseen["digits"]) == len(unseen["digit_labels"]) == 512
        assert len(unseen["images"]) == 256
