"""One view of a denoising network: the noise epsilon, whatever the network was trained to predict.

With x_t = gamma x + sigma eps: a v-network gives v = gamma eps - sigma x (arXiv 2202.00512, appendix D), so
eps = gamma v + sigma x_t; a sample-network gives x, so eps = (x_t - gamma x) / sigma.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.precision import reduced
from diffusion.schedule import NoiseSchedule

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
_HALF = (torch.float16, torch.bfloat16)


class Denoiser:
    """Adapter around a diffusers ``UNet2DModel`` or ``UNet2DConditionModel``.

    Args:
        network: called as ``network(x_t, timesteps, **condition).sample``.
        schedule: the schedule that the network was trained with.
        prediction_type: one of ``epsilon``, ``v_prediction``, ``sample``.
        autocast: what calls compute in, ``torch.bfloat16`` or the network's own precision where None. ``predict`` is
            exact in any case: the likelihood is made of it.

    Raises:
        ValueError: if the prediction type is not one of the three, or weights are in half precision: updates of a few
            millionths would round to nothing, and sums of squares overflow.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: NoiseSchedule,
        prediction_type: str = "epsilon",
        autocast: torch.dtype | None = None,
    ) -> None:
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(
                f"prediction_type must be one of {', '.join(PREDICTION_TYPES)}, but got {prediction_type!r}; "
                "see the pipeline's scheduler_config.json"
            )
        halved = sorted({str(weight.dtype) for weight in network.parameters() if weight.dtype in _HALF})
        if halved:
            raise ValueError(
                f"a network's weights must be float32 or float64, but are {' and '.join(halved)}; load it in float32: "
                "with precision bf16 its products are computed in bfloat16"
            )
        self.network = network
        self.schedule = schedule
        self.prediction_type = prediction_type
        self.autocast = autocast

    def __call__(self, noisy: Tensor, timesteps: Tensor, condition: Mapping[str, Tensor] | None = None) -> Tensor:
        """epsilon(x_t, t) of shape (B, C, H, W) for ``noisy`` of that shape and ``timesteps`` (B,) int64."""
        with reduced(self.autocast, noisy.device.type):
            output = self.predict(noisy, timesteps, condition)
        if self.prediction_type == "epsilon":
            return output
        gamma, sigma = self.schedule.coefficients(timesteps, noisy)
        return self.to_epsilon(output, noisy, gamma, sigma)

    def predict(self, noisy: Tensor, timesteps: Tensor, condition: Mapping[str, Tensor] | None = None) -> Tensor:
        """The network's own output, in the type that it predicts and the dtype of ``noisy``.

        ``timesteps`` may be fractional.
        """
        output: Any = self.network(noisy, timesteps, **(condition or {}))
        sample: Tensor = output.sample if hasattr(output, "sample") else output
        return sample.to(noisy.dtype)

    def to_epsilon(self, output: Tensor, noisy: Tensor, gamma: Tensor, sigma: Tensor) -> Tensor:
        """The network's output as epsilon; gamma and sigma broadcast against ``noisy``."""
        if self.prediction_type == "v_prediction":
            return gamma * output + sigma * noisy
        if self.prediction_type == "sample":
            return (noisy - gamma * output) / sigma
        return output

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device


def as_denoiser(network: nn.Module, alphas_cumprod: Tensor, prediction_type: str = "epsilon") -> Denoiser:
    """The denoiser of a bare network and alpha_bar (T,)."""
    return Denoiser(network, NoiseSchedule(alphas_cumprod), prediction_type)
