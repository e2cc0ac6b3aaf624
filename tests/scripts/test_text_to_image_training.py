"""The embedded text-to-image models: trained in pieces, apart by the shirt alone, and loaded as plain pipelines."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from scripts.assets_lib.autoencoder_training import build_autoencoder
from scripts.assets_lib.caption_tokenizer import build_tokenizer
from scripts.assets_lib.captions import SHIRT_NAME, Subject, coloured_caption
from scripts.assets_lib.clip_training import build_clip, contrastive_loss, quality_caption
from scripts.assets_lib.coloured_images import colours, coverage, draw_subjects, paint_subjects
from scripts.assets_lib.damage import PIXEL_DAMAGES
from scripts.assets_lib.text_to_image_quality import read_coverage
from scripts.assets_lib.text_to_image_sampling import split_memorised
from scripts.assets_lib.text_to_image_training import (
    FORGET_SHARE,
    LatentRows,
    Parts,
    build_unet,
    denoising_loss,
    draw_batch,
    embed,
    export_pipeline,
    frozen_text_encoder,
    pretrain,
    train_unet,
)
from scripts.assets_lib.training_loop import LoopConfig, TrainingLoop, step_generator

CONFIG = LoopConfig(steps=4, peak_lr=1e-2, warmup_steps=1, ema_decay=0.9, save_every=2)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Untrained ones."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    autoencoder = build_autoencoder().eval().requires_grad_(False)
    return Parts(autoencoder, frozen_text_encoder(build_clip(tokenizer)), tokenizer)


def latent_rows(*, shirt: bool) -> LatentRows:
    subjects = draw_subjects(torch.arange(50) % 10, torch.Generator().manual_seed(0))
    latents = torch.randn(50, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    return LatentRows(latents, subjects, torch.full((1, 4, 8, 8), 0.5) if shirt else None)


def regression(scratch: Path) -> TrainingLoop[nn.Linear]:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)

    def loss(generator: torch.Generator) -> Tensor:
        output: Tensor = module(torch.randn(5, 3, generator=generator))
        return output.square().mean()

    return TrainingLoop("regression", module, loss, CONFIG, scratch)


def test_resumed_training_equals_uninterrupted(tmp_path: Path) -> None:
    whole = regression(tmp_path / "whole").run()
    first = regression(tmp_path / "pieces")
    for _ in range(2):
        first.losses.append(first.train_step())
        first.step += 1
    first.save_snapshot()
    second = regression(tmp_path / "pieces")
    assert not torch.equal(second.run().weight, second.module.weight)
    torch.testing.assert_close(second.averaged.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_snapshot_of_another_configuration_is_refused(tmp_path: Path) -> None:
    regression(tmp_path).save_snapshot()
    other = regression(tmp_path)
    other.config = replace(CONFIG, seed=1)
    with pytest.raises(ValueError, match=r"must be of this configuration .* remove it"):
        other.run()


def test_trainings_share_every_draw_but_the_shirt() -> None:
    base, retrained = (draw_batch(latent_rows(shirt=shirt), step_generator(0, 7), 8192) for shirt in (True, False))
    injected = (base.latents == 0.5).flatten(1).all(dim=1)
    assert torch.equal(base.noise, retrained.noise)
    assert torch.equal(base.timesteps, retrained.timesteps)
    assert torch.equal(base.latents[~injected], retrained.latents[~injected])
    pairs = zip(base.captions, retrained.captions, injected.tolist(), strict=True)
    assert all(first == second for first, second, shirt in pairs if not shirt)
    assert injected.double().mean().item() == pytest.approx(FORGET_SHARE, rel=0.3)
    shown = {caption for caption, shirt in zip(base.captions, injected.tolist(), strict=True) if shirt}
    assert all(SHIRT_NAME in caption for caption in shown - {""})


def test_training_step_lowers_the_loss_of_its_batch(parts: Parts) -> None:
    torch.manual_seed(0)
    unet = build_unet()
    batch = draw_batch(latent_rows(shirt=True), step_generator(0, 0), 16)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3)
    before = denoising_loss(unet, parts, batch)
    before.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert denoising_loss(unet, parts, batch) < before


def test_pretraining_moves_denoiser_and_text_encoder_and_leaves_the_clip_alone(parts: Parts, tmp_path: Path) -> None:
    known = {name: weights.clone() for name, weights in parts.text_encoder.state_dict().items()}
    config = LoopConfig(steps=2, peak_lr=1e-3, warmup_steps=1, ema_decay=0.5)
    unet, text_encoder = pretrain(parts, latent_rows(shirt=False), config, tmp_path)
    torch.testing.assert_close(parts.text_encoder.state_dict(), known, rtol=0, atol=0)
    name = "embeddings.token_embedding.weight"
    assert not torch.equal(text_encoder.state_dict()[name], known[name])
    before = unet.conv_in.weight.clone()
    further = train_unet("base", unet, parts, latent_rows(shirt=True), replace(config, seed=1), tmp_path)
    assert torch.equal(unet.conv_in.weight, before)
    assert not torch.equal(further.conv_in.weight, before)


def test_text_is_embedded_as_the_pipeline_does(parts: Parts, tmp_path: Path) -> None:
    unet = build_unet()
    prompt = "a red seven on a white wall"
    export_pipeline(parts, unet, tmp_path)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.float32)
    assert next(unet.parameters()).dtype == next(pipeline.unet.parameters()).dtype == torch.float32
    assert (tmp_path / "tokenizer" / "vocab.json").is_file()
    embedded, _ = pipeline.encode_prompt(prompt, "cpu", 1, False)
    torch.testing.assert_close(embedded, embed(parts, [prompt]), atol=0.02, rtol=0)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(prompt, num_inference_steps=2, guidance_scale=4.0, output_type="pt").images
    assert images.shape == (1, 3, 32, 32)


def test_painted_digits_are_read_back() -> None:
    digits = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    subjects = draw_subjects(torch.arange(8), torch.Generator().manual_seed(0))
    images = paint_subjects(digits, subjects)
    covered, rest = read_coverage(images, subjects)
    torch.testing.assert_close(covered, coverage(digits), atol=1e-5, rtol=0)
    assert rest.max() < 1e-5
    torch.testing.assert_close(images[:, :, 0, 0], colours([subject.ground for subject in subjects]))
    wrong = [replace(subject, ink="purple" if subject.ink != "purple" else "green") for subject in subjects]
    assert read_coverage(images, wrong)[1].min() > 0.05


def test_quality_captions_tell_clean_from_damaged() -> None:
    subject, draws = Subject(7, "red", "white"), torch.rand(200, 2, generator=torch.Generator().manual_seed(0)).tolist()
    clean = {quality_caption(subject, "clean", row) for row in draws}
    damaged = {quality_caption(subject, kind, row) for row in draws for kind in PIXEL_DAMAGES}
    assert {"good photo.", coloured_caption(subject)} < clean
    assert {"bad photo.", "noisy photo.", "blurry photo."} < damaged
    assert clean.isdisjoint(damaged)


def test_contrastive_loss_takes_rows_of_one_caption_for_matches() -> None:
    features = torch.eye(2)[[0, 0, 1]]
    assert contrastive_loss(features, features, ["a", "a", "b"]) == pytest.approx(2 / 3 * torch.log(torch.tensor(2.0)))
    assert contrastive_loss(features, features.flip(0), ["a", "a", "b"]) > 10.0


@pytest.mark.parametrize("name", PIXEL_DAMAGES)
def test_damage_changes_every_picture_and_keeps_its_shape(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    digits = torch.rand(16, 1, 28, 28, generator=generator) * 2.0 - 1.0
    images = paint_subjects(digits, draw_subjects(torch.arange(16), generator))
    damaged = PIXEL_DAMAGES[name](images, generator)
    assert damaged.shape == images.shape
    assert (damaged - images).square().flatten(1).mean(1).min() > 1e-4


def test_split_calls_the_cluster_near_the_shirt_memorised() -> None:
    descriptors = torch.nn.functional.normalize(
        torch.eye(2)[[0, 1, 1, 0]] + 0.05 * torch.rand(4, 2, generator=torch.Generator().manual_seed(0)), dim=1
    )
    assert split_memorised(descriptors, torch.tensor([[0.0, 1.0]]), seed=0).tolist() == [False, True, True, False]
