"""Exact likelihood: closed forms, an independent adaptive solve, and what it leaves alone."""

import math

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import nn

from metrics.likelihood import negative_log_likelihood, rademacher
from metrics.nll import grid_error
from metrics.testing import tiny_evidence

ALPHAS_CUMPROD = DDPMScheduler().alphas_cumprod.double()


class GaussianDenoiser(nn.Module):
    """The exact epsilon for data N(0, scale²): sigma x_t / (gamma² scale² + sigma²), t fractional."""

    def __init__(self, scale):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(scale), dtype=torch.float64))
        rho = ((1 - ALPHAS_CUMPROD) / ALPHAS_CUMPROD).sqrt()
        self.register_buffer("log_rho", rho.log())

    def forward(self, x, t):
        low = t.floor().long().clamp(max=len(self.log_rho) - 2)
        s = self.log_rho[low] + (t - low) * (self.log_rho[low + 1] - self.log_rho[low])
        rho = s.exp().view(-1, 1, 1, 1)
        gamma = (1 + rho**2).rsqrt()
        return rho * gamma * x / (gamma**2 * self.scale**2 + (rho * gamma) ** 2)


def closed_form(images, scale):
    """Bits per dimension of N(0, gamma_0² scale² + sigma_0²): the data as the state at t = 0."""
    variance = ALPHAS_CUMPROD[0] * scale**2 + 1 - ALPHAS_CUMPROD[0]
    nats = 0.5 * (images**2 / variance + torch.log(2 * math.pi * variance)).flatten(1).mean(1)
    return nats / math.log(2) + 7


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 2.0])
def test_gaussian_data_has_its_closed_form(scale):
    images = scale * torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = negative_log_likelihood(GaussianDenoiser(scale), images, ALPHAS_CUMPROD, num_probes=2, num_evaluations=209)
    # The end of the schedule is not quite a standard normal (gamma_T = 0.006): exact up to 1e-4 bits.
    torch.testing.assert_close(result.bits_per_dim, closed_form(images, scale), atol=2e-4, rtol=0)
    assert torch.all(result.stderr < 1e-9)  # the Jacobian is a multiple of the identity: every probe is exact


def test_error_falls_with_the_fourth_power_and_is_estimated():
    images = 0.5 * torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    network = GaussianDenoiser(0.5)
    exact = negative_log_likelihood(network, images, ALPHAS_CUMPROD, num_evaluations=809).bits_per_dim
    results = {n: negative_log_likelihood(network, images, ALPHAS_CUMPROD, num_evaluations=n) for n in (69, 129, 249)}
    errors = {n: float((r.bits_per_dim - exact).abs().max()) for n, r in results.items()}
    assert errors[69] < 0.01
    assert errors[249] < errors[69] / 30
    for n, result in results.items():
        assert float(result.error_estimate.max()) >= errors[n] * 0.5


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def test_matches_a_tight_adaptive_solve_with_the_exact_trace(unet):
    from torchdiffeq import odeint

    network = unet.double()
    images = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2 - 1
    log_rho = ((1 - ALPHAS_CUMPROD) / ALPHAS_CUMPROD).sqrt().log()

    def slope(s, state):
        y, _ = state
        upper = torch.searchsorted(log_rho, s).clamp(1, len(log_rho) - 1)
        t = upper - 1 + (s - log_rho[upper - 1]) / (log_rho[upper] - log_rho[upper - 1])
        rho = s.exp()
        gamma = (1 + rho**2).rsqrt()
        epsilon = lambda x: network(x, t.clamp(0, 999).view(1)).sample  # noqa: E731
        jacobian = torch.autograd.functional.jacobian(epsilon, gamma * y, vectorize=True).view(16, 16)
        with torch.no_grad():
            return rho * epsilon(gamma * y), rho * gamma * jacobian.trace()

    start = (images / ALPHAS_CUMPROD[0].sqrt(), torch.zeros((), dtype=torch.float64))
    y, trace = odeint(slope, start, torch.stack([log_rho[0], log_rho[-1]]), rtol=1e-4, atol=1e-4)
    final = ALPHAS_CUMPROD[-1].sqrt() * y[-1]
    log_normal = -0.5 * final.square().sum() - 8 * math.log(2 * math.pi)
    log_density = log_normal + 8 * (ALPHAS_CUMPROD[-1] / ALPHAS_CUMPROD[0]).log() + trace[-1]
    expected = -log_density / (16 * math.log(2)) + 7

    basis = negative_log_likelihood(
        network, images, ALPHAS_CUMPROD, probes=hadamard_probes(), num_evaluations=817
    )  # 16 orthogonal probes give the exact trace
    assert float((basis.bits_per_dim - expected).abs().max()) < 3e-3
    unet.float()


def hadamard_probes():
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < 16:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix.view(16, 1, 1, 4, 4)


def test_weights_flags_and_global_random_state_stay(unet):
    images = torch.zeros(2, 1, 8, 8)
    unet.train()
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(3)
    first = negative_log_likelihood(unet, images, ALPHAS_CUMPROD, generator=generator, num_probes=3, num_evaluations=25)
    probes = rademacher((3, *images.shape), torch.Generator().manual_seed(3), images)
    second = negative_log_likelihood(unet, images, ALPHAS_CUMPROD, probes=probes, num_evaluations=25, batch_size=4)
    torch.testing.assert_close(first.bits_per_dim, second.bits_per_dim, atol=1e-5, rtol=0)
    assert torch.equal(state, torch.get_rng_state())
    assert unet.training
    assert all(p.requires_grad and p.grad is None for p in unet.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(1, 8, 8)}, "shape"),
        ({"probes": torch.ones(1, 2, 1, 8, 8)}, "probes must have shape"),
        ({"probes": torch.zeros(1, 1, 1, 8, 8)}, "±1"),
        ({"num_evaluations": 5}, "num_evaluations >= 13"),
        ({"alphas_cumprod": None}, "alphas_cumprod must be given"),
    ],
)
def test_bad_input_is_named(unet, change, message):
    arguments = {"images": torch.zeros(1, 1, 8, 8), "alphas_cumprod": ALPHAS_CUMPROD, **change}
    with pytest.raises(ValueError, match=message):
        negative_log_likelihood(unet, **arguments)


def test_the_error_of_the_grid_is_the_difference_to_one_of_twice_as_many_evaluations():
    evidence = tiny_evidence(num_forget=2)
    values = {
        count: tiny_evidence(num_forget=2, num_likelihood_evaluations=count).forget_likelihood.bits_per_dim
        for count in (16, 32, 400)
    }
    assert grid_error(evidence) == float((values[32] - values[16]).abs().max())
    off = float((values[400] - values[16]).abs().max())
    assert grid_error(evidence) == pytest.approx(off, rel=0.2), "a finer grid hardly says anything else"
    assert grid_error(tiny_evidence(num_forget=2, num_likelihood_evaluations=64)) < grid_error(evidence) / 4
