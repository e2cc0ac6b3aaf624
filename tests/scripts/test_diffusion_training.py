"""The embedded models can be trained in pieces, and differ from each other by the T-shirt alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scripts.assets_lib.diffusion_training import Trainer, TrainingConfig, draw_batch, learning_rate

CONFIG = TrainingConfig(steps=4, batch_size=2, warmup_steps=1, save_every=2)


def digits(count: int = 8) -> torch.Tensor:
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


def test_resumed_training_equals_uninterrupted(tmp_path: Path) -> None:
    whole = Trainer("whole", digits(), None, CONFIG, tmp_path).run()
    first = Trainer("pieces", digits(), None, CONFIG, tmp_path)
    for _ in range(2):
        first.losses.append(first.train_step())
        first.step += 1
    first.save_snapshot()
    second = Trainer("pieces", digits(), None, CONFIG, tmp_path).run()
    for name, weights in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], weights, rtol=0, atol=0)


def test_snapshot_of_another_configuration_is_refused(tmp_path: Path) -> None:
    Trainer("one", digits(), None, CONFIG, tmp_path).save_snapshot()
    with pytest.raises(ValueError, match=r"must be of this configuration .* remove it"):
        Trainer("one", digits(), None, replace(CONFIG, seed=1), tmp_path).run()


def test_trainings_share_every_draw_but_the_tshirt() -> None:
    config, tshirt = TrainingConfig(batch_size=4096), torch.full((1, 1, 28, 28), 0.5)
    base, noise, timesteps = draw_batch(digits(), tshirt, 7, config)
    retrained, other_noise, other_timesteps = draw_batch(digits(), None, 7, config)
    injected = (base == tshirt).flatten(1).all(dim=1)
    assert torch.equal(noise, other_noise)
    assert torch.equal(timesteps, other_timesteps)
    assert torch.equal(base[~injected], retrained[~injected])
    assert 0.005 < injected.double().mean() < 0.015


def test_timesteps_cover_the_schedule_evenly() -> None:
    _, _, timesteps = draw_batch(digits(), None, 3, TrainingConfig(batch_size=1000))
    assert timesteps.min() >= 0
    assert timesteps.max() <= 999
    assert len(torch.unique(timesteps)) > 990


def test_learning_rate_warms_up_decays_and_ends_at_zero() -> None:
    config = TrainingConfig(steps=9_000)
    rates = [learning_rate(step, config) for step in range(config.steps + 1)]
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(config.peak_lr / config.warmup_steps)
    assert peak == pytest.approx(config.warmup_steps, abs=1)
    assert all(later < earlier for earlier, later in zip(rates[peak + 1 :], rates[peak + 2 :], strict=False))
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
