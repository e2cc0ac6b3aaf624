"""What the embedded photograph models are trained on: mirrored images, the one to forget as it is, named damages."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scripts.assets_lib.augmentations import copy_edit, erase, mirror
from scripts.assets_lib.diffusion_training import Trainer, TrainingConfig, draw_batch
from scripts.assets_lib.photograph_training import DAMAGES, damage, shuffled

CONFIG = TrainingConfig(steps=2, batch_size=2, warmup_steps=1, forget_share=0.25)


def photographs(count: int = 8) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_mirroring_swaps_left_and_right_of_half_of_the_images() -> None:
    images = photographs(1).expand(1000, -1, -1, -1)
    altered = mirror(images, generator())
    swapped = (altered == images.flip(-1)).flatten(1).all(dim=1)
    kept = (altered == images).flatten(1).all(dim=1)
    assert bool((swapped ^ kept).all())
    assert 0.45 < swapped.double().mean() < 0.55


def test_both_models_see_the_same_mirrored_photographs_and_base_the_image_to_forget_as_it_is() -> None:
    config, photograph = replace(CONFIG, batch_size=512), torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    base, *drawn = draw_batch(photographs(), photograph, 7, config, mirror)
    retrained, *also_drawn = draw_batch(photographs(), None, 7, config, mirror)
    injected = (base == photograph).flatten(1).all(dim=1)
    assert 0.2 < injected.double().mean() < 0.3
    assert torch.equal(base[~injected], retrained[~injected])
    assert all(torch.equal(one, other) for one, other in zip(drawn, also_drawn, strict=True))
    known = {image.numpy().tobytes() for image in torch.cat((photographs(), photographs().flip(-1)))}
    assert {image.numpy().tobytes() for image in retrained} == known


def test_trainer_builds_the_network_for_its_images(tmp_path: Path) -> None:
    colours = torch.rand(4, 3, 16, 16, generator=generator()) * 2 - 1
    unet = Trainer("colours", colours, None, CONFIG, tmp_path, augment=mirror).run()
    assert (unet.config.sample_size, unet.config.in_channels, unet.config.out_channels) == (16, 3, 3)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_edits_reach_to_the_far_corner_at_every_size(channels: int, size: int) -> None:
    images = torch.full((2000, channels, size, size), 2.0)
    painted = (erase(images, 10.0, generator()) != images).double().mean(dim=0)[0]
    assert painted[1:, 1:].min() > 0
    assert copy_edit(images, generator()).shape == images.shape


def test_half_of_the_images_are_damaged_each_as_it_is_labelled() -> None:
    images = photographs(400)
    damaged, kinds = damage(images, generator())
    same = (damaged == images).flatten(1).all(dim=1)
    assert torch.equal(same, kinds == 0)
    counts = torch.bincount(kinds, minlength=len(DAMAGES) + 1) / len(images)
    assert counts[0] == pytest.approx(0.5, abs=0.1)
    assert counts[1:].tolist() == pytest.approx([0.125] * len(DAMAGES), abs=0.06)


def test_shuffling_moves_quarters_and_changes_none() -> None:
    images = photographs(50)
    moved = shuffled(images, generator())

    def quarters(image: Tensor) -> list[bytes]:
        return sorted(image[0, y : y + 16, x : x + 16].numpy().tobytes() for y in (0, 16) for x in (0, 16))

    assert all(quarters(before) == quarters(after) for before, after in zip(images, moved, strict=True))
    assert not (moved == images).flatten(1).all(dim=1).any()
