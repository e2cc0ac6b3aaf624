"""What every method of METHODS promises, on a small real network; a new method is picked up from the registry.

With ``--method package.module:Class`` the same is asked of a method from outside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from metrics.accounting import told_of_rows
from metrics.testing import IMAGE_SHAPE, tiny_denoiser
from search_spaces import space_of
from trainable.batch import ForgetRetainBatch
from trainable.finetune import composed_gradient
from trainable.methods import METHODS
from trainable.methods.method import GradientGeometry, Method

CALIBRATION = {"retain_gradient_norm": 100.0}
ROWS = 8


def made(method: str) -> Method:
    """The method with the settings that its authors published first."""
    space = space_of(method)
    resolved = space.resolve(space.published[0], CALIBRATION, {})
    return METHODS[method](**{parameter.name: resolved[parameter.name] for parameter in space.parameters})


def batch(method: Method, rows: int = ROWS) -> ForgetRetainBatch:
    generator = torch.Generator().manual_seed(4)
    retain, forget, noise = torch.randn(3, rows, *IMAGE_SHAPE, generator=generator) / 3
    neighbours = torch.randn(rows, max(1, method.num_neighbours), *IMAGE_SHAPE, generator=generator) / 3
    timesteps = torch.randint(1000, (rows,), generator=generator)
    return ForgetRetainBatch(retain, forget, noise, timesteps, neighbours=neighbours)


def drawn(method: Method) -> ForgetRetainBatch:
    return method.draw(batch(method), torch.Generator().manual_seed(5))


def gradient(method: Method, batches: Sequence[ForgetRetainBatch]) -> Tensor:
    denoiser = tiny_denoiser()
    found = composed_gradient(denoiser.network, method, batches, denoiser.schedule.alphas_cumprod)
    return torch.cat([value.flatten() for value in found.values()])


def test_declares_what_it_is(method: str) -> None:
    kind = METHODS[method]
    assert kind.name == method or ":" in method
    assert min(kind.cost) >= 1
    assert kind.needs_neighbours == (kind.num_neighbours > 0)
    assert kind.needs_retain or kind.needs_forget
    assert kind.__doc__


def test_every_published_setting_builds_it(method: str) -> None:
    space = space_of(method)
    assert space.published
    for settings in space.published:
        resolved = space.resolve(settings, CALIBRATION, {})
        assert METHODS[method](**{parameter.name: resolved[parameter.name] for parameter in space.parameters})


def test_has_a_loss_for_each_kind_of_image_that_it_needs_and_no_other(method: str) -> None:
    own = made(method)
    losses = own.losses(tiny_denoiser(), drawn(own))
    for loss, is_needed in ((losses.retain, own.needs_retain), (losses.forget, own.needs_forget)):
        assert (loss is not None) == is_needed
        if loss is not None:
            assert loss.shape == (ROWS,)
            assert loss.isfinite().all()
            assert (loss >= 0).all()


def test_what_is_drawn_decides_the_losses(method: str) -> None:
    own, denoiser = made(method), tiny_denoiser()
    one, other = (own.losses(denoiser, drawn(own)) for _ in range(2))
    for first, second in ((one.retain, other.retain), (one.forget, other.forget)):
        assert first is second is None or torch.equal(first, second)  # type: ignore[arg-type]


def test_draws_from_the_generator_alone(method: str) -> None:
    own, before = made(method), torch.random.get_rng_state()
    own.losses(tiny_denoiser(), drawn(own))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_micro_batches_make_the_gradient_of_the_whole(method: str) -> None:
    own = made(method)
    whole = drawn(own)
    together, apart = gradient(own, [whole]), gradient(own, whole.split(3))
    assert float((together - apart).norm()) <= 1e-5 * float(together.norm())
    assert float(together.norm()) > 0


def test_costs_no_more_rows_than_it_says(method: str) -> None:
    own, denoiser, rows = made(method), tiny_denoiser(), list[int]()
    with told_of_rows(denoiser.network, rows.append):
        own.losses(denoiser, drawn(own))
    assert sum(rows) <= ROWS * own.cost[0]


def test_without_a_forget_gradient_a_step_is_degenerate_and_finite(method: str) -> None:
    own = made(method)
    found = own.combine(GradientGeometry(retain_norm=2.0, forget_norm=0.0, inner=0.0))
    assert math.isfinite(found.retain)
    assert math.isfinite(found.forget)
    assert found.degenerate == own.needs_forget


@pytest.mark.parametrize("inner", [-5.0, 0.0, 5.0])
def test_combines_gradients_of_any_angle(method: str, inner: float) -> None:
    own = made(method)
    found = own.combine(GradientGeometry(2.0 if own.needs_retain else 0.0, 3.0 if own.needs_forget else 0.0, inner))
    assert all(map(math.isfinite, (found.retain, found.forget, found.step_size)))
    assert found.step_size > 0
    assert not found.degenerate
