"""The embedded study's settings over small files of its own, for tests of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tuning.paths import PROJECT_ROOT
from tuning.studyfile import read_mapping

# Of its own, so that the embedded study can be tuned without a word here.
FIDELITY = {
    "num_images": 256,
    "num_sampling_steps": 15,
    "num_denoisings": 16,
    "num_denoising_steps": 8,
    "injection_timestep": 500,
    "num_probes": 4,
    "num_likelihood_evaluations": 70,
    "num_membership_noises": 32,
}
FINAL_FIDELITY = {"num_images": 512, "num_probes": 16, "num_denoisings": 64}


def write_safetensors(path: Path, **metadata: str) -> None:
    tensors = {"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))


def write_study(directory: Path) -> None:
    """Writes ``study.yaml`` and the files that it names."""
    for model in ("base", "retrained"):
        (directory / model / "unet").mkdir(parents=True)
        (directory / model / "model_index.json").write_text("{}")
        (directory / model / "unet" / "config.json").write_text('{"sample_size": 28, "in_channels": 1}')
        write_safetensors(directory / model / "unet" / "diffusion_pytorch_model.safetensors")
    np.savez(directory / "digits.npz", images=np.zeros((2, 28, 28), np.uint8))
    write_safetensors(directory / "encoder.safetensors", architecture="digit_classifier")
    Image.new("L", (28, 28)).save(directory / "tshirt.png")
    values = read_mapping(PROJECT_ROOT / "studies" / "mnist_tshirt.yaml")
    encoders = dict.fromkeys(("descriptor", "features", "classifier"), "encoder.safetensors")
    values |= {
        "model": "base",
        "retrained_model": "retrained",
        "retain": "digits.npz",
        "unseen": "digits.npz",
        **encoders,
    }
    values |= {**FIDELITY, **{f"final_{name}": number for name, number in FINAL_FIDELITY.items()}}
    values |= {"evaluation_batch_size": 128}
    values |= {"forget": ["tshirt.png"], "name": "tshirt"}
    (directory / "study.yaml").write_text(yaml.safe_dump(values))


def set_keys(workspace: Path, **values: object) -> None:
    path = workspace / "study.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))
