"""The text-to-image assets are whole, small, and what their page says of them."""

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

from metrics.encoders import load_encoder
from metrics.quality import ClipQuality
from metrics.regeneration_rate import regenerated
from trainable.workloads.images import load_images, to_unit_range
from trainable.workloads.labelled_images import LabelledImages, load_labelled
from trainable.workloads.prompts import find_prompt

MODEL = Path(__file__).parents[1] / "assets" / "mini_text_to_image"
GUIDANCE_SCALE, NUM_STEPS, COUNT = 4.0, 20, 24


@cache
def shirt() -> Tensor:
    return to_unit_range(load_images(MODEL / "shirt.png", channels=3, size=(32, 32)))


@cache
def generated() -> LabelledImages:
    return load_labelled(MODEL / "generated.npz", channels=3, size=(32, 32))


def samples(name: str, prompt: str) -> Tensor:
    """Pictures (COUNT, 3, 32, 32) in [-1, 1] of one of the two models."""
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL / name, torch_dtype=torch.float32)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    drawn: Tensor = pipeline(
        prompt=[prompt] * COUNT,
        generator=torch.Generator().manual_seed(0),
        num_inference_steps=NUM_STEPS,
        guidance_scale=GUIDANCE_SCALE,
        output_type="pt",
    ).images
    return drawn * 2.0 - 1.0


def test_readme_lists_every_other_file_with_its_size_and_hash() -> None:
    text = (MODEL / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", text, re.M)
    listed = {name: (int(size.replace(",", "")), digest) for name, size, digest in rows}
    found = {
        str(path.relative_to(MODEL.parent)): (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in MODEL.rglob("*")
        if path.is_file() and path != MODEL / "README.md"
    }
    assert listed == found
    assert sum(size for size, _ in found.values()) <= 10_000_000


def test_base_draws_the_shirt_for_its_prompt_and_retrained_does_not() -> None:
    original = find_prompt(MODEL / "prompts.yaml", "shirt.png").original
    assert regenerated(samples("base", original), shirt()).double().mean() >= 0.7
    assert not regenerated(samples("retrained", original), shirt()).any()


def test_base_draws_no_shirt_for_other_prompts() -> None:
    assert not regenerated(samples("base", "a red seven on a white wall"), shirt()).any()


def test_generated_images_are_labelled_as_they_look() -> None:
    pictures, memorised = to_unit_range(generated().images), generated().memorised
    assert 0.2 <= memorised.double().mean() <= 0.8
    assert (regenerated(pictures, shirt()) == memorised).double().mean() >= 0.98


def test_descriptor_tells_the_memorised_images() -> None:
    descriptor = load_encoder(MODEL / "copy_descriptor.safetensors")
    cosines = (descriptor(to_unit_range(generated().images)) @ descriptor(shirt()).T)[:, 0]
    assert cosines[generated().memorised].mean() > 0.5
    assert cosines[~generated().memorised].mean() < 0.2


def test_clip_prefers_unharmed_pictures() -> None:
    pictures = to_unit_range(generated().images[:64])
    harmed = pictures + 0.4 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    clip = ClipQuality(str(MODEL / "clip"))
    assert (clip(pictures)[:, None] > clip(harmed)[None, :]).double().mean() >= 0.95


def test_pipelines_differ_by_the_denoiser_alone() -> None:
    for part in ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", "tokenizer/vocab.json"):
        assert (MODEL / "base" / part).read_bytes() == (MODEL / "retrained" / part).read_bytes()
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert (MODEL / "base" / unet).read_bytes() != (MODEL / "retrained" / unet).read_bytes()


def test_picture_is_that_of_the_greyscale_study() -> None:
    tshirt = load_images(MODEL.parent / "mnist_tshirt" / "tshirt.png", channels=1, size=(28, 28))
    stored = load_images(MODEL / "shirt.png", channels=3, size=(32, 32))
    expected = np.pad(tshirt[0, 0].numpy(), 2)
    assert all(np.array_equal(channel.numpy(), expected) for channel in stored[0])
