"""Closed forms and limits of the methods' losses and gradient rules."""

import math

import pytest
import torch

from metrics.testing import IMAGE_SHAPE, tiny_denoiser
from trainable.batch import ForgetRetainBatch
from trainable.finetune import composed_gradient
from trainable.methods import METHODS
from trainable.methods.method import GradientGeometry
from trainable.methods.siss import draw_mixture, importance_weights


@pytest.fixture(scope="module")
def denoiser():
    denoiser = tiny_denoiser()
    denoiser.network.double()
    return denoiser


def batch(size=6, seed=0, **extra):
    generator = torch.Generator().manual_seed(seed)
    retain, forget, noise = torch.randn(3, size, *IMAGE_SHAPE, generator=generator, dtype=torch.float64)
    timesteps = torch.tensor([0, 200, 500, 700, 900, 999])[:size]
    return ForgetRetainBatch(retain / 3, forget / 3, noise, timesteps, **extra)


@pytest.mark.parametrize("lambd", [0.1, 0.5, 0.9])
def test_importance_weights_equal_their_definition_where_that_does_not_overflow(lambd):
    d = torch.linspace(-20, 20, 41, dtype=torch.float64)
    retain, forget = importance_weights(d, lambd)
    torch.testing.assert_close(retain, 1 / ((1 - lambd) + lambd * d.exp()))
    torch.testing.assert_close(forget, 1 / ((1 - lambd) * (-d).exp() + lambd))


@pytest.mark.parametrize("lambd", [0.0, 0.3, 1.0])
def test_importance_weights_are_finite_and_in_range_at_any_distance(lambd):
    # Toward the other end the weight of a degenerate mixture grows without bound; rows of that mixture never go there.
    d = torch.tensor([-1e6, -1e3, 0.0]) if lambd == 0 else torch.tensor([0.0, 1e3, 1e6])
    for weight in importance_weights(d, lambd):
        assert bool(torch.isfinite(weight).all())
        assert bool((weight >= 0).all())


def test_the_mixture_has_the_right_rows_and_targets(denoiser):
    mask = torch.tensor([True, False, True, False, True, False])
    data = batch(from_forget=mask)
    rows = draw_mixture(denoiser.schedule, data, 0.5, None)
    gamma, sigma = denoiser.schedule.coefficients(data.timesteps, data.noise)
    images = torch.where(mask.view(-1, 1, 1, 1), data.forget, data.retain)
    torch.testing.assert_close(rows.noisy, gamma * images + sigma * data.noise)
    torch.testing.assert_close(rows.retain_target, (rows.noisy - gamma * data.retain) / sigma)
    torch.testing.assert_close(rows.forget_target, (rows.noisy - gamma * data.forget) / sigma)


def test_the_mixture_draws_with_probability_lambd(denoiser):
    many = ForgetRetainBatch(torch.zeros(4000, 1, 1, 1), torch.ones(4000, 1, 1, 1), torch.zeros(4000, 1, 1, 1),
                             torch.zeros(4000, dtype=torch.int64))  # fmt: skip
    rows = draw_mixture(denoiser.schedule, many, 0.25, torch.Generator().manual_seed(0))
    assert abs(float((rows.noisy > 0.5).float().mean()) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)


def test_the_ends_of_lambd_are_plain_regression_on_one_image(denoiser):
    """At lambd = 0 all rows are x_t with weight 1, so the retain loss is naive deletion's; at 1 all rows are a_t."""
    data = batch()
    naive = METHODS["naive_deletion"]().losses(denoiser, data).retain
    torch.testing.assert_close(METHODS["siss"](lambd=0.0, scaling_norm=1.0).losses(denoiser, data).retain, naive)
    ascent = METHODS["neggrad"](superfactor=1.0).losses(denoiser, data).forget
    torch.testing.assert_close(METHODS["siss"](lambd=1.0, scaling_norm=1.0).losses(denoiser, data).forget, ascent)


@pytest.mark.parametrize("lambd", [0.0, 1.0])
def test_the_ends_of_lambd_give_finite_gradients(denoiser, lambd):
    method = METHODS["siss"](lambd=lambd, scaling_norm=1.0)
    gradient = composed_gradient(denoiser.network, method, [batch()], denoiser.schedule.alphas_cumprod)
    assert all(bool(torch.isfinite(g).all()) for g in gradient.values())
    assert any(bool((g != 0).any()) for g in gradient.values())


def test_no_forget_gradient_is_counted_as_degenerate_and_leaves_the_retain_gradient():
    nothing = GradientGeometry(retain_norm=2.0, forget_norm=0.0, inner=0.0)
    for name, settings in {"siss": {"lambd": 0.5, "scaling_norm": 1.0}, "siss_no_is": {"scaling_norm": 1.0},
                           "erasediff": {"eta": 0.1}}.items():  # fmt: skip
        combination = METHODS[name](**settings).combine(nothing)
        assert combination.degenerate
        assert (combination.retain, combination.forget) == (1.0, 0.0)
    assert METHODS["neggrad"](superfactor=1.0).combine(nothing).degenerate


def test_gradient_rules():
    geometry = GradientGeometry(retain_norm=3.0, forget_norm=2.0, inner=-8.0)
    assert METHODS["siss"](lambd=0.5, scaling_norm=10.0).combine(geometry).forget == -5.0
    assert METHODS["erasediff"](eta=0.5).combine(geometry).forget == 2.5
    assert METHODS["erasediff"](eta=0.5).combine(GradientGeometry(3.0, 2.0, 8.0)).forget == 0.0
    neggrad = METHODS["neggrad"](superfactor=0.3).combine(geometry)
    assert (neggrad.retain, neggrad.forget, neggrad.step_size) == (0.0, -1.0, 0.3)


@pytest.mark.parametrize(
    ("name", "settings", "rule"),
    [
        ("siss", {"lambd": 1.5, "scaling_norm": 1.0}, "0 <= lambd <= 1"),
        ("siss", {"lambd": 0.5, "scaling_norm": 0.0}, "scaling_norm > 0"),
        ("siss_no_is", {"scaling_norm": -1.0}, "scaling_norm > 0"),
        ("erasediff", {"eta": 0.0}, "eta > 0"),
        ("neggrad", {"superfactor": math.nan}, "superfactor > 0"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, rule):
    with pytest.raises(ValueError, match=rule):
        METHODS[name](**settings)


def test_bernoulli_takes_each_row_for_one_term(denoiser):
    mask = torch.tensor([True, False, True, False, False, False])
    data, lambd = batch(from_forget=mask), 0.25
    method = METHODS["bernoulli"](lambd=lambd, scaling_norm=3.0)
    plain = METHODS["siss_no_is"](scaling_norm=3.0).losses(denoiser, data)
    wanted = {"retain": plain.retain * ~mask / (1 - lambd), "forget": plain.forget * mask}
    found = vars(method.losses(denoiser, data))
    for term, rows in (("retain", ~mask), ("forget", mask)):
        torch.testing.assert_close(found[term], wanted[term])
        [part] = [part for part in method.arrange(denoiser.schedule, [data]) if tuple(part.terms) == (term,)]
        losses = vars(method.losses(denoiser, part))
        torch.testing.assert_close(losses.pop(term), wanted[term][rows])
        assert list(losses.values()) == [None], "no graph holds both terms"


def test_bernoulli_fills_its_batches_from_the_whole_window(denoiser):
    method = METHODS["bernoulli"](lambd=0.5, scaling_norm=3.0)
    masks = (torch.arange(6) % 2 == 0, torch.ones(6, dtype=torch.bool))
    parts = method.arrange(denoiser.schedule, [batch(from_forget=mask) for mask in masks])
    assert [(tuple(part.terms), len(part)) for part in parts] == [(("retain",), 3), (("forget",), 9)]


@pytest.mark.parametrize("value", [True, False])
def test_bernoulli_with_rows_of_one_kind_has_one_term(denoiser, value):
    method = METHODS["bernoulli"](lambd=0.5, scaling_norm=3.0)
    [part] = method.arrange(denoiser.schedule, [batch(from_forget=torch.full((6,), value))])
    assert tuple(part.terms) == (("forget",) if value else ("retain",))
    data = batch(from_forget=torch.full((6,), value))
    gradient = composed_gradient(denoiser.network, method, [data], denoiser.schedule.alphas_cumprod)
    norm = torch.stack([tensor.square().sum() for tensor in gradient.values()]).sum().sqrt()
    assert norm == pytest.approx(3.0) if value else norm > 0


def test_retrack_denoises_towards_the_nearest_retain_images(denoiser):
    """Written out row by row: the regression target is the noise that leads from each neighbour to a_t."""
    generator = torch.Generator().manual_seed(1)
    data = batch(neighbours=torch.randn(6, 3, *IMAGE_SHAPE, generator=generator, dtype=torch.float64) / 3)
    losses = METHODS["retrack"](lambd=0.1).losses(denoiser, data)
    schedule = denoiser.schedule
    noisy = schedule.add_noise(data.forget, data.noise, data.timesteps)
    prediction = denoiser(noisy, data.timesteps)
    for row in range(6):
        gamma, sigma = (float(schedule.gamma(data.timesteps[row])), float(schedule.sigma(data.timesteps[row])))
        targets = [(noisy[row] - gamma * neighbour) / sigma for neighbour in data.neighbours[row]]
        weights = torch.softmax(torch.stack([-target.square().sum() / 2 for target in targets]), dim=0)
        expected = sum(w * (prediction[row] - v).square().sum() for w, v in zip(weights, targets, strict=True))
        torch.testing.assert_close(losses.forget[row], expected)


def test_retrack_with_the_forget_image_as_its_own_neighbour_is_ordinary_training(denoiser):
    data = batch()
    data = batch(neighbours=data.forget[:, None])
    losses = METHODS["retrack"](lambd=0.1).losses(denoiser, data)
    plain = METHODS["siss_no_is"](scaling_norm=1.0).losses(denoiser, data)
    torch.testing.assert_close(losses.forget, plain.forget)


def test_retrack_weighs_both_terms_and_asks_for_neighbours(denoiser):
    combination = METHODS["retrack"](lambd=0.2).combine(GradientGeometry(1.0, 2.0, 0.5))
    assert (combination.retain, combination.forget) == (0.8, 0.2)
    with pytest.raises(ValueError, match=r"ForgetRetainBatch\.neighbours"):
        METHODS["retrack"](lambd=0.2).losses(denoiser, batch())
