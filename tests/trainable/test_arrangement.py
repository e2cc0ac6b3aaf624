"""Rows are regrouped by the terms that they have: the same gradient, with no backward pass that adds nothing."""

import math
from collections import Counter

import pytest
import torch
from diffusers import UNet2DModel

from diffusion.denoiser import as_denoiser
from metrics.accounting import told_of_rows
from metrics.testing import IMAGE_SHAPE, tiny_denoiser
from trainable.arrangement import by_terms
from trainable.batch import TERMS, ForgetRetainBatch
from trainable.finetune import GradientBuffers, accumulate, composed_gradient
from trainable.memory import RowLimit
from trainable.methods.method import Method
from trainable.methods.siss import SISS, draw_mixture

SETTINGS = {"scaling_norm": 3.0}


class PlainSISS(SISS):
    """Every row in both terms, batch by batch."""

    arrange = Method.arrange


@pytest.fixture(scope="module")
def denoiser():
    denoiser = tiny_denoiser()
    denoiser.network.double()
    return denoiser


def window(sizes=(6, 6, 3), contrast=0.3, seed=0, dtype=torch.float64):
    """Micro-batches of which a large `contrast` gives weights of 0 at small timesteps."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for size in sizes:
        retain, forget, noise = torch.randn(3, size, *IMAGE_SHAPE, generator=generator, dtype=dtype)
        timesteps = torch.randint(1000, (size,), generator=generator)
        batches.append(ForgetRetainBatch(contrast * retain, contrast * forget, noise, timesteps))
    return batches


def drawn(batches, lambd, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [SISS(lambd, **SETTINGS).draw(batch, generator) for batch in batches]


def flat(gradient):
    return torch.cat([value.flatten() for value in gradient.values()])


def gradient_of(denoiser, method, batches):
    return flat(composed_gradient(denoiser.network, method, batches, denoiser.schedule.alphas_cumprod))


def kinds_of(denoiser, method, batches):
    return Counter({tuple(part.terms): len(part) for part in method.arrange(denoiser.schedule, batches)})


@pytest.mark.parametrize("lambd", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("contrast", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("sizes", [(6, 6, 3), (1,), (1, 1)])
def test_the_gradient_is_the_plain_one(denoiser, lambd, contrast, sizes):
    batches = drawn(window(sizes, contrast), lambd)
    plain = gradient_of(denoiser, PlainSISS(lambd, **SETTINGS), batches)
    ours = gradient_of(denoiser, SISS(lambd, **SETTINGS), batches)
    assert float((ours - plain).norm() / plain.norm()) < 1e-10


def test_far_images_have_rows_of_one_term_and_near_ones_have_not(denoiser):
    method = SISS(0.5, **SETTINGS)
    far = kinds_of(denoiser, method, drawn(window(contrast=3.0), 0.5))
    assert sum(far.values()) == 15
    assert far["retain",] > 0
    assert far["forget",] > 0
    assert kinds_of(denoiser, method, drawn(window(contrast=0.0), 0.5)) == {TERMS: 15}


def test_no_backward_pass_is_made_for_a_weight_of_zero(denoiser):
    """Rows of forward passes, and rows of gradients that come back to the network's output, are counted."""
    method, batches = SISS(0.5, **SETTINGS), drawn(window(contrast=3.0), 0.5)
    forward, backward = [], []

    def note(_, __, output):
        output.sample.register_hook(lambda gradient: backward.append(len(gradient)))

    handle = denoiser.network.register_forward_hook(note)
    with told_of_rows(denoiser.network, forward.append):
        accumulate(denoiser, method, batches, GradientBuffers(list(denoiser.network.parameters())))
    handle.remove()
    mixtures = [draw_mixture(denoiser.schedule, batch, 0.5, None) for batch in batches]
    needed = sum(int((rows.retain_weight != 0).sum() + (rows.forget_weight != 0).sum()) for rows in mixtures)
    assert sum(forward) == 15
    assert sum(backward) == needed < 30


@pytest.mark.parametrize("rows", [1, 2, 4, 100])
def test_parts_of_a_kind_are_full_but_for_the_last(denoiser, rows):
    batches, method = drawn(window((8, 8, 8), contrast=3.0), 0.5), SISS(0.5, **SETTINGS)
    for kind in method.arrange(denoiser.schedule, batches):
        sizes = [len(part) for part in kind.split(rows)]
        assert sizes[:-1] == [rows] * (len(sizes) - 1)
        assert all(part.terms == kind.terms for part in kind.split(rows))
    seen = []
    with told_of_rows(denoiser.network, seen.append):
        buffers = GradientBuffers(list(denoiser.network.parameters()))
        accumulate(denoiser, method, batches, buffers, limit=RowLimit(rows, "training"))
    assert max(seen) <= rows
    assert sum(seen) == 24


def test_rows_keep_all_that_belongs_to_them():
    numbers = torch.arange(6.0)
    images = numbers.view(6, 1, 1, 1)
    whole = ForgetRetainBatch(images, images + 10, images + 20, numbers.long(), neighbours=images.view(6, 1, 1, 1, 1),
                              condition={"encoder_hidden_states": images.view(6, 1, 1)})  # fmt: skip
    retain = torch.tensor([1.0, 0.0, 1.0, 0.5, 0.0, math.nan])
    forget = torch.tensor([1.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    weights = [(retain[:4], forget[:4]), (retain[4:], forget[4:])]
    parts = {tuple(part.terms): part for part in by_terms(whole.split(4), weights)}
    assert {terms: part.timesteps.tolist() for terms, part in parts.items()} == {
        ("retain",): [2, 3, 5], ("forget",): [1], TERMS: [0],
    }  # fmt: skip
    for part in parts.values():
        for tensor, shift in (
            (part.retain, 0), (part.forget, 10), (part.noise, 20), (part.neighbours, 0),
            (part.condition["encoder_hidden_states"], 0),
        ):  # fmt: skip
            assert (tensor.flatten() - shift).tolist() == part.timesteps.tolist()
        assert part.from_forget is None


def test_not_a_number_is_not_lost(denoiser):
    [batch] = drawn(window((4,)), 0.5)
    batch.retain[2] = math.nan
    parts = SISS(0.5, **SETTINGS).arrange(denoiser.schedule, [batch])
    assert bool(torch.isnan(torch.cat([part.retain.flatten() for part in parts if "retain" in part.terms])).any())


def test_rows_of_an_odd_size_have_the_plain_gradient():
    """A size that no halving divides, of a network that does not halve."""
    network = UNet2DModel(
        sample_size=(7, 5), in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8,),
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4,
    ).double()  # fmt: skip
    denoiser = as_denoiser(network, tiny_denoiser().schedule.alphas_cumprod)
    generator = torch.Generator().manual_seed(0)
    retain, forget, noise = torch.randn(3, 6, 3, 7, 5, generator=generator, dtype=torch.float64)
    timesteps = torch.randint(1000, (6,), generator=generator)
    batches = drawn([ForgetRetainBatch(retain, forget, noise, timesteps)], 0.5)
    ours, plain = (gradient_of(denoiser, kind(0.5, **SETTINGS), batches) for kind in (SISS, PlainSISS))
    assert float((ours - plain).norm() / plain.norm()) < 1e-10
