"""The statistics of the membership test: how well a model knows each of many images, all under the same noises."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import torch
from torch import Tensor

from analysis.certificates.standings import LOSS, NLL
from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from metrics.accounting import evaluating
from metrics.expected import FORWARD, WITH_BACKWARD
from metrics.likelihood import negative_log_likelihood, rademacher
from metrics.membership import MEMBERSHIP_TIMES, membership_errors
from trainable.memory import RowLimit
from tuning.schema import StudyConfig

#: Probes of each image's likelihood: the spread between images is larger than their error.
NUM_PROBES_LEAST: Final = 2


@dataclass(frozen=True)
class Noises:
    """What all images are measured under.

    Attributes:
        seed: of all of it.
        num_probes: Hutchinson probes of the likelihood.
        num_noises: noises at each timestep of the denoising loss.
        num_evaluations: network calls of one likelihood.
    """

    seed: int
    num_probes: int
    num_noises: int
    num_evaluations: int

    @cached_property
    def _drawn(self) -> dict[tuple[int, int], Tensor]:
        return {}

    def noise(self, shape: tuple[int, ...], device: torch.device, time: int, draw: int) -> Tensor:
        """(C, H, W) of one timestep and draw."""
        if (time, draw) not in self._drawn:
            generator = stream(self.seed, "membership test", "noise", time, draw)
            self._drawn[time, draw] = torch.randn(shape, generator=generator)
        return self._drawn[time, draw].to(device)

    def probes(self, like: Tensor) -> Tensor:
        """(P, B, C, H, W) of ±1 for images (B, C, H, W): the same for every image."""
        shape = tuple(like.shape[1:])
        drawn = [rademacher(shape, stream(self.seed, "membership test", "probe", probe), like)
                 for probe in range(self.num_probes)]  # fmt: skip
        return torch.stack(drawn)[:, None].expand(self.num_probes, *like.shape)


def statistics_of(
    denoiser: Denoiser, images: Tensor, noises: Noises, data_bits: float, rows: RowLimit
) -> dict[str, list[float]]:
    """``nll`` in bits per dimension and ``denoising_loss`` of each image (B, C, H, W); lower is better known.

    The loss is mean_t log(mean over noises of ‖ε(x_t) − eps‖² / D) over the timesteps of `metrics.membership`: a mean
    of logarithms, since errors near t = 0 are a thousand times those at the end, and every timestep is to have its say.
    No image's statistic depends on the others, so that images which are alike to the model can change places.

    Args:
        denoiser: under the condition that it was trained with.
        images: in the space that the network works in.
        noises: shared by all images.
        data_bits: as in `negative_log_likelihood`.
        rows: of a network call.
    """
    nll, loss = [], []
    for block in torch.split(images, max(1, rows.rows // noises.num_probes)):
        nll += rows.run(partial(_likelihoods, denoiser, block, noises, data_bits))
        loss += rows.run(partial(_losses, denoiser, block, noises))
    return {NLL: nll, LOSS: loss}


def _likelihoods(denoiser: Denoiser, images: Tensor, noises: Noises, data_bits: float, batch_size: int) -> list[float]:
    likelihood = negative_log_likelihood(
        denoiser,
        images.to(denoiser.device),
        probes=noises.probes(images.to(denoiser.device)),
        num_evaluations=noises.num_evaluations,
        batch_size=batch_size,
        data_bits=data_bits,
    )
    return [float(value) for value in likelihood.bits_per_dim]


def _losses(denoiser: Denoiser, images: Tensor, noises: Noises, batch_size: int) -> list[float]:
    shape, images = tuple(images.shape[1:]), images.to(denoiser.device)
    with evaluating(denoiser.network):
        errors = membership_errors(
            denoiser,
            images,
            images[:1],
            noise=partial(noises.noise, shape, denoiser.device),
            num_noises=noises.num_noises,
            batch_size=batch_size,
        )
    return [float(value) for value in errors.forget.double().mean(2).log().mean(1)]


def rows_of_statistics(config: StudyConfig, num_probes: int, num_images: int) -> int:
    """Network rows that the statistics of so many images take of one model."""
    likelihood = WITH_BACKWARD * num_probes * config.num_likelihood_evaluations
    return num_images * (likelihood + FORWARD * config.num_membership_noises * len(MEMBERSHIP_TIMES))
