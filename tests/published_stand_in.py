"""A directory of the interface of the published implementation, by code of our own."""

from __future__ import annotations

from pathlib import Path

LOSS = """
import torch

class DDPMDeletionLoss:
    def __init__(self, gamma, sigma):
        self.gamma, self.sigma = gamma, sigma

    def importance_sampling_with_mixture(self, unet, timesteps, noise, conditioning, kept, removed, lambd):
        g, s = (c[timesteps].view(-1, 1, 1, 1) for c in (self.gamma, self.sigma))
        keep = (torch.rand(len(noise)) > lambd).view(-1, 1, 1, 1)
        m = torch.where(keep, kept["noisy_latents"], removed["noisy_latents"])
        out = unet(m, timesteps, return_dict=False)[0]
        x, a = ((m - g * d["og_latents"]) / s for d in (kept, removed))
        d = (x.square() - a.square()).flatten(1).sum(1) / 2
        w_x, w_a = (torch.sigmoid(sign * d).view(-1, 1, 1, 1) * 2 for sign in (-1, 1))
        return None, None, None, w_x, w_a, w_x * (out - x) ** 2, FACTOR * w_a * (out - a) ** 2
"""


LIKELIHOOD = """
import torch
from . import sde_lib
from metrics.likelihood import negative_log_likelihood

def get_likelihood_fn(sde):
    assert isinstance(sde, sde_lib.VPSDE)

    def function(model, data):
        probes = torch.randint_like(data, low=0, high=2).float() * 2 - 1
        found = negative_log_likelihood(model, data, sde.alphas_cumprod, probes=probes[None], num_evaluations=161)
        return found.bits_per_dim + OFF, data, 161

    return function
"""
EQUATIONS = """
from diffusers import DDPMScheduler

class VPSDE:
    alphas_cumprod = DDPMScheduler().alphas_cumprod
"""


def with_likelihood(folder: Path, off: str = "0") -> Path:
    """A clone with a likelihood that is `off` by so many bits."""
    (folder / "metrics" / "song_likelihood").mkdir(parents=True)
    (folder / "metrics" / "song_likelihood" / "likelihood.py").write_text(LIKELIHOOD.replace("OFF", off))
    (folder / "metrics" / "song_likelihood" / "sde_lib.py").write_text(EQUATIONS)
    return folder


def clone(folder: Path, factor: str = "1") -> Path:
    """A clone with the losses, one of them times `factor`."""
    (folder / "losses").mkdir(parents=True)
    (folder / "losses" / "ddpm_deletion_loss.py").write_text(LOSS.replace("FACTOR", factor))
    return folder
