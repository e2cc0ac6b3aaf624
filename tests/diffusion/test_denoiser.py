"""One model in three parametrisations is one denoiser."""

import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn

from diffusion.denoiser import as_denoiser
from diffusion.schedule import NoiseSchedule

ALPHAS_CUMPROD = DDPMScheduler().alphas_cumprod
SCALE = 0.4


class Gaussian(nn.Module):
    """The exact prediction for data N(0, SCALE²), of epsilon, v or the sample."""

    def __init__(self, prediction_type):
        super().__init__()
        self.prediction_type = prediction_type
        self.device_marker = nn.Parameter(torch.zeros(1))

    def forward(self, x, t):
        gamma, sigma = NoiseSchedule(ALPHAS_CUMPROD).coefficients(t, x)
        variance = gamma**2 * SCALE**2 + sigma**2
        sample, epsilon = gamma * SCALE**2 * x / variance, sigma * x / variance
        return {"sample": sample, "epsilon": epsilon, "v_prediction": gamma * epsilon - sigma * sample}[
            self.prediction_type
        ]


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_every_prediction_type_gives_epsilon(prediction_type):
    x = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([0, 5, 100, 500, 900, 999])
    expected = as_denoiser(Gaussian("epsilon"), ALPHAS_CUMPROD)(x, t)
    torch.testing.assert_close(as_denoiser(Gaussian(prediction_type), ALPHAS_CUMPROD, prediction_type)(x, t), expected)


def test_an_unknown_prediction_type_is_refused():
    with pytest.raises(ValueError, match="prediction_type must be one of epsilon, v_prediction, sample"):
        as_denoiser(Gaussian("epsilon"), ALPHAS_CUMPROD, "score")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_refused(dtype):
    with pytest.raises(ValueError, match=f"must be float32 or float64, but are {dtype}"):
        as_denoiser(Gaussian("epsilon").to(dtype), ALPHAS_CUMPROD)
    assert as_denoiser(Gaussian("epsilon").double(), ALPHAS_CUMPROD)
