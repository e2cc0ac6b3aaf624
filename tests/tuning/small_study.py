"""The embedded study's settings over small files of its own, for tests of the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
INDEX = {
    "_class_name": "DDPMPipeline",
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}
NETWORK = {"_class_name": "UNet2DModel", "sample_size": 28, "in_channels": 1, "out_channels": 1}
SCHEDULER = {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "prediction_type": "epsilon"}


def write_json(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_safetensors(path: Path, **metadata: str) -> None:
    tensors = {"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))


def write_study(directory: Path) -> None:
    """Writes ``study.yaml`` and the files that it names."""
    for model in ("base", "retrained"):
        (directory / model / "unet").mkdir(parents=True)
        write_json(directory / model / "model_index.json", INDEX)
        write_json(directory / model / "unet" / "config.json", NETWORK)
        write_json(directory / model / "scheduler" / "scheduler_config.json", SCHEDULER)
        write_safetensors(directory / model / "unet" / "diffusion_pytorch_model.safetensors")
    np.savez(directory / "digits.npz", images=np.zeros((2, 28, 28), np.uint8))
    write_safetensors(directory / "encoder.safetensors", architecture="digit_classifier")
    Image.new("L", (28, 28), 128).save(directory / "tshirt.png")
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


TEXT_TO_IMAGE_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
TEXT_TO_IMAGE_NETWORK = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "cross_attention_dim": 32,
}


def write_text_to_image(directory: Path) -> tuple[str, ...]:
    """Writes a Stable Diffusion's files ``prompted``, labelled images and prompts; returns the flags of its study."""
    model = directory / "prompted"
    write_json(model / "model_index.json", TEXT_TO_IMAGE_INDEX)
    write_json(model / "unet" / "config.json", TEXT_TO_IMAGE_NETWORK)
    write_json(model / "vae" / "config.json", {"latent_channels": 4, "block_out_channels": [8, 8, 8]})
    write_json(model / "text_encoder" / "config.json", {"max_position_embeddings": 77})
    write_json(model / "scheduler" / "scheduler_config.json", SCHEDULER)
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        write_safetensors(model / part / f"{name}.safetensors")
    images = np.zeros((4, 32, 32, 3), np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None]
    np.savez(directory / "generated.npz", images=images, memorised=np.array([True, True, False, False]))
    Image.fromarray(images[0]).save(directory / "shirt.png")
    (directory / "prompts.yaml").write_text("- {image: shirt.png, original: a, modified: b}\n", encoding="utf-8")
    return (
        *("--workload", "text_to_image", "--model", "prompted", "--retain", "generated.npz", "--forget", "shirt.png"),
        *("--prompts", "prompts.yaml", "--objectives", "minimize sscd"),
    )
