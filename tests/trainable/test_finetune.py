"""The optimiser step: clipping, the step size of NegGrad, and gradients that are no numbers."""

import pytest
import torch

from metrics.testing import tiny_denoiser
from trainable.batch import ForgetRetainBatch
from trainable.finetune import FineTuner, NonFiniteGradientError
from trainable.methods import METHODS


def batch(value=0.0):
    generator = torch.Generator().manual_seed(1)
    retain, forget, noise = torch.randn(3, 4, 1, 8, 8, generator=generator)
    return ForgetRetainBatch(retain + value, forget, noise, torch.tensor([10, 300, 600, 990]))


def tuner(name, **settings):
    return FineTuner(
        tiny_denoiser(), METHODS[name](**settings), learning_rate=1e-3, betas=(0.9, 0.999), weight_decay=0.0,
        max_grad_norm=1.0,
    )  # fmt: skip


def weights(tuner):
    return [p.detach().clone() for p in tuner.denoiser.network.parameters()]


def change(name, **settings):
    subject = tuner(name, **settings)
    before = weights(subject)
    subject.step([batch()])
    return torch.cat([(b - a).flatten() for a, b in zip(before, weights(subject), strict=True)])


def test_superfactor_scales_the_update_and_nothing_else():
    one, tenth = change("neggrad", superfactor=1.0), change("neggrad", superfactor=0.1)
    torch.testing.assert_close(tenth, one * 0.1, atol=1e-7, rtol=1e-3)
    assert float(one.norm()) > 0


def test_warmup_scales_the_first_step():
    whole, half = tuner("siss_no_is", scaling_norm=1.0), tuner("siss_no_is", scaling_norm=1.0)
    start = weights(whole)
    whole.step([batch()])
    half.step([batch()], warmup=0.5)
    moved = [
        torch.cat([(b - a).flatten() for a, b in zip(start, weights(subject), strict=True)])
        for subject in (whole, half)
    ]
    torch.testing.assert_close(moved[1], 0.5 * moved[0], atol=1e-7, rtol=1e-3)


def test_the_combined_gradient_is_clipped():
    subject = tuner("siss", lambd=0.5, scaling_norm=5.0)
    stats = subject.step([batch()])
    assert stats.gradient_norm > 1
    first_moments = [state["exp_avg"] / (1 - 0.9) for state in subject.optimiser.state.values()]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(m) for m in first_moments]))
    assert float(norm) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["siss", "siss_no_is"])
def test_a_gradient_that_is_no_number_leaves_weights_and_optimiser_alone(name, bad):
    subject = tuner(name, **({"lambd": 0.0} if name == "siss" else {}), scaling_norm=1.0)
    before = weights(subject)
    with pytest.raises(NonFiniteGradientError):
        subject.step([batch(bad)])
    assert all(torch.equal(a, b) for a, b in zip(before, weights(subject), strict=True))
    assert not subject.optimiser.state
    subject.step([batch()])  # and the trial could go on
    assert any(not torch.equal(a, b) for a, b in zip(before, weights(subject), strict=True))


def test_two_micro_batches_step_as_one():
    whole, split = tuner("erasediff", eta=0.1), tuner("erasediff", eta=0.1)
    data = batch()
    target = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    parts = [
        ForgetRetainBatch(data.retain[rows], data.forget[rows], data.noise[rows], data.timesteps[rows],
                          noise_target=target[rows])
        for rows in (slice(0, 4), slice(0, 2), slice(2, 4))
    ]  # fmt: skip
    first, second = whole.step(parts[:1]), split.step(parts[1:])
    assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-5)
