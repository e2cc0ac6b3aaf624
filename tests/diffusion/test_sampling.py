"""Sampling with a model whose flow is known: data N(0, s²) map noise to s · noise."""

import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn

from diffusion.denoiser import Denoiser, as_denoiser
from diffusion.sampling import generate, inject_and_denoise
from diffusion.schedule import NoiseSchedule
from metrics.testing import tiny_denoiser

ALPHAS_CUMPROD = DDPMScheduler().alphas_cumprod
SCALE = 0.1


class Gaussian(nn.Module):
    """The exact epsilon for data N(0, SCALE²)."""

    def __init__(self):
        super().__init__()
        self.device_marker = nn.Parameter(torch.zeros(1))

    def forward(self, x, t):
        gamma, sigma = NoiseSchedule(ALPHAS_CUMPROD).coefficients(t, x)
        return sigma * x / (gamma**2 * SCALE**2 + sigma**2)


@pytest.fixture(scope="module")
def gaussian():
    return as_denoiser(Gaussian(), ALPHAS_CUMPROD)


def noise(size, seed=0):
    return torch.randn(size, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_generated_images_are_the_flow_of_their_noise(gaussian):
    start = noise(4)
    coarse, fine = (generate(gaussian, start, num_steps=steps) for steps in (20, 200))
    # The last step ends at the mean of t ~ 5: what is left is the width of the data at that noise, not zero.
    assert float((fine - SCALE * start).abs().max()) < 0.02
    assert float((fine - SCALE * start).abs().mean()) < float((coarse - SCALE * start).abs().mean())


def test_an_injection_at_low_noise_gives_the_image_back_and_at_high_noise_does_not(gaussian):
    images = SCALE * noise(4, seed=1)
    low, high = (
        inject_and_denoise(gaussian, images, noise(4, seed=2), timestep=timestep, num_steps=5) for timestep in (5, 990)
    )
    assert float((low - images).abs().mean()) < 0.3 * SCALE
    assert float((high - images).abs().mean()) > 0.5 * SCALE


def test_the_batch_size_and_what_else_is_made_do_not_matter():
    denoiser, start = tiny_denoiser(), noise(5)
    whole = generate(denoiser, start, num_steps=4)
    torch.testing.assert_close(generate(denoiser, start, num_steps=4, batch_size=2), whole, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(generate(denoiser, start[:3], num_steps=4), whole[:3], atol=1e-4, rtol=1e-5)
    assert generate(denoiser, start[:0], num_steps=4).shape == (0, 1, 8, 8)


class Astray(nn.Module):
    """Predicts no noise at all: the image that follows from that is x_t / gamma_t, far outside at high timesteps."""

    def __init__(self):
        super().__init__()
        self.device_marker = nn.Parameter(torch.zeros(1))

    def forward(self, x, t):
        return torch.zeros_like(x)


def test_predicted_images_stay_in_range_where_the_pipeline_is_sampled_so():
    plain = NoiseSchedule.from_scheduler(DDPMScheduler(clip_sample=True))
    kept = NoiseSchedule.from_scheduler(DDPMScheduler(thresholding=True, sample_max_value=1.0))
    assert not plain.thresholding
    far, near = (generate(Denoiser(Astray(), schedule), noise(4), num_steps=8) for schedule in (plain, kept))
    assert float(far.abs().max()) > 10
    assert float(near.abs().max()) <= 1.001


def test_nothing_is_drawn():
    state = torch.get_rng_state()
    inject_and_denoise(tiny_denoiser(), noise(2), noise(2, seed=1), timestep=300, num_steps=3)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("timestep", "steps"), [(0, 1), (1000, 4), (-1, 4), (3, 5)])
def test_steps_outside_the_schedule_are_refused(gaussian, timestep, steps):
    with pytest.raises(ValueError, match="must hold, but got"):
        inject_and_denoise(gaussian, noise(1), noise(1), timestep=timestep, num_steps=steps)
