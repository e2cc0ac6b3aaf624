"""What is measured once per report and shared by all metrics: samples, denoisings, likelihoods.

Every random draw comes from a private stream of (seed, purpose, image, draw), never from torch's global generator: what
one part draws depends on no other part, on no batch size and on how often anything was measured before. The first n of
N images are the n images that a smaller fidelity makes, and models measured with one seed see the same noise, so that
their difference is a paired one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from diffusion.sampling import generate, inject_and_denoise
from metrics.accounting import Cost, accounted, evaluating
from metrics.likelihood import Likelihood, negative_log_likelihood, rademacher
from metrics.subject import Encoder, Fidelity, Subject

__all__ = ["Evidence", "Fidelity", "MembershipErrors", "Subject"]

#: Where the membership errors are taken, as fractions of the schedule's length: t = 100, 250, 500, 750 of 1000.
MEMBERSHIP_TIMES = (0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class MembershipErrors:
    """Squared errors of the predicted noise, averaged over pixels, at ``MEMBERSHIP_TIMES``.

    Noise j at a timestep is given to every forget image and to one retain image, number j modulo R: a retain image more
    costs nothing, and both sides see the same noises.

    Attributes:
        forget: (F, T, J): image, timestep, noise.
        retain: (T, J).
    """

    forget: Tensor
    retain: Tensor


class Evidence:
    """The evidence on one model as it is now, each part made when first asked for, and once.

    Ask for every part before the model changes. The network is measured in evaluation mode and left in the mode it
    was in. Images, features and errors are on the CPU in float32; non-finite outputs are kept as they are.

    Args:
        denoiser: the model to measure.
        subject: what it is measured against.
        fidelity: how much is measured.
        seed: of all noise; equal for the models of a paired comparison, fresh when a chosen model is re-measured.
    """

    def __init__(self, denoiser: Denoiser, subject: Subject, fidelity: Fidelity, seed: int) -> None:
        self.denoiser = denoiser
        self.subject = subject
        self.fidelity = fidelity
        self.seed = seed
        #: Rows and seconds of each part made so far, by the part's name.
        self.costs: dict[str, Cost] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Images through the network, forward, for each part made so far (see ``Cost``)."""
        return {part: cost.network_rows for part, cost in self.costs.items()}

    @property
    def num_neighbour_denoisings(self) -> int:
        """Denoisings of each neighbour: together about as many as the forget images have, but 2 for an error bar."""
        return self._share(self.fidelity.num_denoisings)

    @property
    def num_neighbour_probes(self) -> int:
        """Probes of each neighbour, by the same rule."""
        return self._share(self.fidelity.num_probes)

    def generator(self, *purpose: str | int) -> torch.Generator:
        """A private CPU stream for ``purpose``, for instance a metric's bootstrap."""
        return stream(self.seed, "evidence", *purpose)

    @cached_property
    def samples(self) -> Tensor:
        """Generated images (num_images, C, H, W) in [-1, 1]; image i from the noise of ("sample", i)."""
        with self._making("samples"):
            blocks = [
                generate(
                    self.denoiser,
                    self._noise([("sample", index) for index in block]),
                    num_steps=self.fidelity.num_sampling_steps,
                    batch_size=self.fidelity.batch_size,
                ).cpu()
                for block in self._blocks(self.fidelity.num_images)
            ]
        return torch.cat(blocks)

    @cached_property
    def sample_features(self) -> Tensor:
        """Features of the samples, (num_images, D)."""
        return self._encoded("sample_features", self.subject.features, self.samples)

    @cached_property
    def sample_logits(self) -> Tensor:
        """Logits of the samples, (num_images, classes).

        Raises:
            ValueError: if the subject has no classifier.
        """
        if self.subject.classifier is None:
            raise ValueError(
                "the Inception Score needs a classifier, but the workload has none; "
                "give it one, or leave inception_score out"
            )
        return self._encoded("sample_logits", self.subject.classifier, self.samples)

    @cached_property
    def denoisings(self) -> Tensor:
        """The forget images, noised to the injection timestep and denoised: (F, num_denoisings, C, H, W) in [-1, 1]."""
        return self._denoised("denoisings", self.subject.forget, self.fidelity.num_denoisings)

    @cached_property
    def neighbour_denoisings(self) -> Tensor:
        """The same of the neighbours, (K, num_neighbour_denoisings, C, H, W)."""
        return self._denoised("neighbour_denoisings", self._neighbours(), self.num_neighbour_denoisings)

    @cached_property
    def denoising_descriptors(self) -> Tensor:
        """Descriptors of the denoisings, (F, num_denoisings, D)."""
        return self._descriptors("denoising_descriptors", self.denoisings)

    @cached_property
    def neighbour_denoising_descriptors(self) -> Tensor:
        """Descriptors of the neighbours' denoisings, (K, num_neighbour_denoisings, D)."""
        return self._descriptors("neighbour_denoising_descriptors", self.neighbour_denoisings)

    @cached_property
    def forget_descriptors(self) -> Tensor:
        """Descriptors of the clean forget images, (F, D)."""
        return self._encoded("forget_descriptors", self.subject.descriptor, self.subject.forget)

    @cached_property
    def neighbour_descriptors(self) -> Tensor:
        """Descriptors of the clean neighbours, (K, D)."""
        return self._encoded("neighbour_descriptors", self.subject.descriptor, self._neighbours())

    @cached_property
    def forget_likelihood(self) -> Likelihood:
        """Bits per dimension of the forget images, fields (F,)."""
        return self._likelihood("forget_likelihood", self.subject.forget, self.fidelity.num_probes)

    @cached_property
    def neighbour_likelihood(self) -> Likelihood:
        """Bits per dimension of the neighbours, fields (K,)."""
        return self._likelihood("neighbour_likelihood", self._neighbours(), self.num_neighbour_probes)

    @cached_property
    def membership_errors(self) -> MembershipErrors:
        """Denoising errors of forget and retain images at fixed timesteps under the same noises.

        Raises:
            ValueError: if the subject has no retain images.
        """
        if not len(self.subject.retain):
            raise ValueError("membership_loss needs retain images to compare with, but the subject has none")
        num_forget, num_times = len(self.subject.forget), len(MEMBERSHIP_TIMES)
        num_noises = self.fidelity.num_membership_noises
        retain = self.subject.retain[torch.arange(num_noises) % len(self.subject.retain)]
        blocks = []
        with self._making("membership_errors"):
            for block in self._blocks((num_forget + 1) * num_times * num_noises):
                rows = [(*divmod(row // num_noises, num_times), row % num_noises) for row in block]
                images = [
                    retain[draw] if image == num_forget else self.subject.forget[image] for image, _, draw in rows
                ]
                noise = self._noise(("membership", time, draw) for _, time, draw in rows)
                timesteps = self._membership_timesteps[[time for _, time, _ in rows]]
                blocks.append(self._prediction_errors(torch.stack(images).to(noise.device), noise, timesteps))
        errors = torch.cat(blocks).view(num_forget + 1, num_times, num_noises)
        return MembershipErrors(forget=errors[:num_forget], retain=errors[num_forget])

    @property
    def _membership_timesteps(self) -> Tensor:
        last = self.denoiser.schedule.num_timesteps - 1
        times = [min(max(round(part * (last + 1)), 1), last) for part in MEMBERSHIP_TIMES]
        return torch.tensor(times, device=self.denoiser.device)

    def _share(self, total: int) -> int:
        if total < 2:
            return 1
        return max(2, math.ceil(total * len(self.subject.forget) / max(len(self.subject.neighbours), 1)))

    def _neighbours(self) -> Tensor:
        if not len(self.subject.neighbours):
            raise ValueError(
                "metrics of neighbours need at least one neighbour, but the subject has none; "
                "choose some with metrics.neighbours.nearest_neighbours, or leave these metrics out"
            )
        return self.subject.neighbours

    @contextmanager
    def _making(self, part: str) -> Iterator[None]:
        with evaluating(self.denoiser.network), accounted(self.denoiser.network) as cost:
            yield
        self.costs[part] = cost

    def _blocks(self, count: int) -> list[range]:
        size = self.fidelity.batch_size
        return [range(first, min(first + size, count)) for first in range(0, count, size)]

    def _noise(self, keys: Iterable[tuple[str | int, ...]]) -> Tensor:
        shape = self.subject.forget.shape[1:]
        return torch.stack([torch.randn(shape, generator=self.generator(*key)) for key in keys]).to(
            self.denoiser.device
        )

    def _denoised(self, part: str, images: Tensor, draws: int) -> Tensor:
        blocks = []
        with self._making(part):
            for block in self._blocks(len(images) * draws):
                rows = [divmod(row, draws) for row in block]
                denoised = inject_and_denoise(
                    self.denoiser,
                    images[[image for image, _ in rows]].to(self.denoiser.device),
                    self._noise([(part, image, draw) for image, draw in rows]),
                    timestep=self.fidelity.injection_timestep,
                    num_steps=self.fidelity.num_denoising_steps,
                    batch_size=self.fidelity.batch_size,
                )
                blocks.append(denoised.cpu())
        return torch.cat(blocks).reshape(images.shape[0], draws, *images.shape[1:])

    def _encoded(self, part: str, encoder: Encoder, images: Tensor) -> Tensor:
        with self._making(part):
            rows = torch.split(images, self.fidelity.batch_size)
            blocks = [encoder(block.to(self.denoiser.device)).cpu() for block in rows]
        return torch.cat(blocks)

    def _descriptors(self, part: str, images: Tensor) -> Tensor:
        descriptors = self._encoded(part, self.subject.descriptor, images.flatten(0, 1))
        return descriptors.view(*images.shape[:2], -1)

    def _likelihood(self, part: str, images: Tensor, num_probes: int) -> Likelihood:
        images = images.to(self.denoiser.device)
        with self._making(part):
            draws = [
                rademacher(tuple(images.shape[1:]), self.generator(part, image, probe), images)
                for probe in range(num_probes)
                for image in range(len(images))
            ]
            return negative_log_likelihood(
                self.denoiser,
                images,
                probes=torch.stack(draws).view(num_probes, *images.shape),
                num_evaluations=self.fidelity.num_likelihood_evaluations,
                batch_size=self.fidelity.batch_size,
            )

    def _prediction_errors(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        noisy = self.denoiser.schedule.add_noise(images, noise, timesteps)
        return (self.denoiser(noisy, timesteps) - noise).square().flatten(1).mean(1).cpu()
