"""The noise schedule's identities, and what it refuses."""

import pytest
import torch
from diffusers import DDPMScheduler

from diffusion.schedule import NoiseSchedule

SCHEDULER = DDPMScheduler()


def test_gamma_and_sigma_are_the_square_roots_of_alpha_bar_and_its_complement():
    schedule = NoiseSchedule.from_scheduler(SCHEDULER)
    steps = torch.tensor([0, 500, 999])
    torch.testing.assert_close(schedule.gamma(steps) ** 2, SCHEDULER.alphas_cumprod.double()[steps])
    torch.testing.assert_close(schedule.gamma(steps) ** 2 + schedule.sigma(steps) ** 2, torch.ones(3).double())


def test_noise_is_added_as_diffusers_adds_it():
    schedule = NoiseSchedule.from_scheduler(SCHEDULER)
    images, noise = torch.randn(2, 5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([0, 10, 400, 800, 999])
    torch.testing.assert_close(schedule.add_noise(images, noise, steps), SCHEDULER.add_noise(images, noise, steps))


@pytest.mark.parametrize(
    ("alphas_cumprod", "message"),
    [
        (torch.tensor([0.9, 0.5, 0.5]), "must decrease strictly, but it does not at timestep 2"),
        (torch.tensor([0.5, 0.9]), "must decrease strictly"),
        (torch.tensor([1.0, 0.5]), r"must lie in \(0, 1\)"),
        (torch.tensor([0.5, 0.0]), r"must lie in \(0, 1\)"),
        (torch.tensor([0.5, float("nan")]), r"must lie in \(0, 1\)"),
        (torch.tensor([0.5]), "T >= 2"),
        (torch.ones(2, 2) / 2, "shape"),
    ],
)
def test_what_is_no_schedule_is_refused(alphas_cumprod, message):
    with pytest.raises(ValueError, match=message):
        NoiseSchedule(alphas_cumprod)
