"""What is measured once per report and shared by all metrics: samples, denoisings, likelihoods.

Every random draw comes from a private stream of (seed, purpose, image, draw), never from torch's global generator: what
one part draws depends on no other part, on no batch size and on how often anything was measured before. The first n of
N images are the n images that a smaller fidelity makes, and models measured with one seed see the same noise, so that
their difference is a paired one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from diffusion.sampling import generate, inject_and_denoise
from metrics.accounting import Cost, accounted, evaluating
from metrics.likelihood import Likelihood, negative_log_likelihood, rademacher
from metrics.membership import MembershipErrors, membership_errors
from metrics.parts import draws_of_each_neighbour, is_of_samples
from metrics.subject import Fidelity, ImageFunction, Subject

__all__ = ["Evidence", "Fidelity", "MembershipErrors", "Subject"]


class Evidence:
    """The evidence on one model as it is now, each part made when first asked for, and once.

    Ask for every part before the model changes. The network is measured in evaluation mode and left in the mode it
    was in. Images, features and errors are on the CPU in float32; non-finite outputs are kept as they are.

    Args:
        denoiser: the model to measure.
        subject: what it is measured against.
        fidelity: how much is measured.
        seed: of all noise; equal for the models of a paired comparison, fresh when a chosen model is re-measured.
        begun: evidence on the same model, sampler settings, seed and encoders. Its samples, and what was seen of them,
            are taken as far as both go: a few images become more, and of many the first few are looked at.
    """

    def __init__(
        self, denoiser: Denoiser, subject: Subject, fidelity: Fidelity, seed: int, begun: Evidence | None = None
    ) -> None:
        self.denoiser = denoiser
        self.subject = subject
        self.fidelity = fidelity
        self.seed = seed
        self.space = subject.space
        #: Rows and seconds of each part made so far, by the part's name.
        self.costs: dict[str, Cost] = {}
        #: Seconds of each part, with those of the evidence that this one was begun by.
        self.seconds: dict[str, float] = {} if begun is None else dict(begun.seconds)
        made = {} if begun is None else vars(begun)
        self._begun: dict[str, Tensor] = {
            part: value[: fidelity.num_images] for part, value in made.items() if is_of_samples(part)
        }

    @property
    def counts(self) -> dict[str, int]:
        """Images through the network, forward, for each part made so far (see ``Cost``)."""
        return {part: cost.network_rows for part, cost in self.costs.items()}

    @property
    def num_neighbour_denoisings(self) -> int:
        """Denoisings of each neighbour: together about as many as the forget images have, but 2 for an error bar."""
        return self._of_each_neighbour(self.fidelity.num_denoisings)

    @property
    def num_neighbour_probes(self) -> int:
        """Probes of each neighbour, by the same rule."""
        return self._of_each_neighbour(self.fidelity.num_probes)

    def generator(self, *purpose: str | int) -> torch.Generator:
        """A private CPU stream for ``purpose``, for instance a metric's bootstrap."""
        return stream(self.seed, "evidence", *purpose)

    @cached_property
    def samples(self) -> Tensor:
        """Generated images (num_images, C, H, W) in [-1, 1]; image i from the noise of ("sample", i).

        Of P prompts, image i is made under prompt i modulo P.
        """
        views = list(self.space.prompts.values()) or [self.space.trained]
        known = self._begun.get("samples", torch.empty(0))
        images: dict[int, Tensor] = dict(enumerate(known))
        with self._making("samples"):
            if len(known) == self.fidelity.num_images:
                return known
            for first, view in enumerate(views):
                wanted = range(first, self.fidelity.num_images, len(views))
                denoiser, rows = view(self.denoiser), [index for index in wanted if index not in images]
                for block in self._blocks(len(rows)):
                    noise = self._noise([("sample", rows[index]) for index in block])
                    points = generate(
                        denoiser,
                        noise,
                        num_steps=self.fidelity.num_sampling_steps,
                        batch_size=self.fidelity.batch_size,
                    )
                    images |= zip((rows[index] for index in block), self.space.decode(points).cpu(), strict=True)
        return torch.stack([images[index] for index in range(self.fidelity.num_images)])

    @property
    def samples_so_far(self) -> Tensor | None:
        """The samples, where somebody has asked for them."""
        made: Tensor | None = vars(self).get("samples")
        return made

    def samples_of(self, prompt: str) -> Tensor:
        """Those samples that were made under one of the prompts, (n, C, H, W)."""
        return self.samples[self._rows_of(prompt)]

    @cached_property
    def sample_features(self) -> Tensor:
        """Features of the samples, (num_images, D).

        Raises:
            ValueError: if the subject has no feature network.
        """
        return self._encoded("sample_features", self._network("fid", "features"), self.samples)

    @cached_property
    def sample_logits(self) -> Tensor:
        """Logits of the samples, (num_images, classes).

        Raises:
            ValueError: if the subject has no classifier.
        """
        return self._encoded("sample_logits", self._network("inception_score", "classifier"), self.samples)

    @cached_property
    def sample_quality(self) -> Tensor:
        """How likely each sample is a good photo by CLIP, (num_images,) in [0, 1].

        Raises:
            ValueError: if the subject has no such network.
        """
        return self._encoded("sample_quality", self._network("clip_iqa", "quality"), self.samples)

    @cached_property
    def sample_descriptors(self) -> Tensor:
        """Descriptors of the samples, (num_images, D)."""
        return self._encoded("sample_descriptors", self.subject.descriptor, self.samples)

    def descriptors_of(self, prompt: str) -> Tensor:
        """Descriptors of the samples of one prompt, (n, D).

        Raises:
            ValueError: if the model is not judged under that prompt.
        """
        return self.sample_descriptors[self._rows_of(prompt)]

    @cached_property
    def denoisings(self) -> Tensor:
        """What the model remembers of the forget images: (F, M, C, H, W) in [-1, 1].

        The forget images, noised to the injection timestep and denoised, M = num_denoisings. Where the model takes
        prompts: its samples under the first prompt, the same for every forget image.
        """
        if self.space.prompts:
            made = self.samples_of(next(iter(self.space.prompts)))
            return made.expand(len(self.subject.forget), *made.shape)
        return self._denoised("denoisings", self.space.forget, self.fidelity.num_denoisings)

    @cached_property
    def neighbour_denoisings(self) -> Tensor:
        """The neighbours, noised to the injection timestep and denoised: (K, num_neighbour_denoisings, C, H, W)."""
        return self._denoised(
            "neighbour_denoisings", self._neighbours(self.space.neighbours), self.num_neighbour_denoisings
        )

    @cached_property
    def denoising_descriptors(self) -> Tensor:
        """Descriptors of the denoisings, (F, M, D)."""
        if self.space.prompts:
            made = self.descriptors_of(next(iter(self.space.prompts)))
            return made.expand(len(self.subject.forget), *made.shape)
        return self._descriptors("denoising_descriptors", self.denoisings)

    @cached_property
    def neighbour_denoising_descriptors(self) -> Tensor:
        """Descriptors of the neighbours' denoisings, (K, num_neighbour_denoisings, D)."""
        return self._descriptors("neighbour_denoising_descriptors", self.neighbour_denoisings)

    @cached_property
    def forget_descriptors(self) -> Tensor:
        """Descriptors of the clean forget images, (F, D)."""
        part, subject = "forget_descriptors", self.subject
        return subject.once(part, lambda: self._encoded(part, subject.descriptor, subject.forget))

    @cached_property
    def neighbour_descriptors(self) -> Tensor:
        """Descriptors of the clean neighbours, (K, D)."""
        part, subject = "neighbour_descriptors", self.subject
        neighbours = self._neighbours(subject.neighbours)
        return subject.once(part, lambda: self._encoded(part, subject.descriptor, neighbours))

    @cached_property
    def forget_likelihood(self) -> Likelihood:
        """Bits per dimension of the forget images, fields (F,)."""
        return self._likelihood("forget_likelihood", self.space.forget, self.fidelity.num_probes)

    @cached_property
    def neighbour_likelihood(self) -> Likelihood:
        """Bits per dimension of the neighbours, fields (K,)."""
        neighbours = self._neighbours(self.space.neighbours)
        return self._likelihood("neighbour_likelihood", neighbours, self.num_neighbour_probes)

    @cached_property
    def membership_errors(self) -> MembershipErrors:
        """Denoising errors of forget and retain images at fixed timesteps under the same noises.

        Raises:
            ValueError: if the subject has no retain images.
        """
        retain = self.space.retain
        if not len(retain):
            raise ValueError("membership_loss needs retain images to compare with, but the subject has none")
        with self._making("membership_errors"):
            return membership_errors(
                self.space.trained(self.denoiser),
                self.space.forget,
                retain,
                noise=lambda time, draw: self._noise([("membership", time, draw)])[0],
                num_noises=self.fidelity.num_membership_noises,
                batch_size=self.fidelity.batch_size,
            )

    def _of_each_neighbour(self, total: int) -> int:
        return draws_of_each_neighbour(total, len(self.subject.forget), len(self.subject.neighbours))

    def _rows_of(self, prompt: str) -> slice:
        prompts = list(self.space.prompts)
        if prompt not in prompts:
            raise ValueError(
                f"the model must be judged under the prompt {prompt!r}, but its prompts are "
                f"{', '.join(prompts) or 'none'}; give it one, or leave the metric out"
            )
        return slice(prompts.index(prompt), None, len(prompts))

    def _network(self, metric: str, name: str) -> ImageFunction:
        network: ImageFunction | None = getattr(self.subject, name)
        if network is None:
            raise ValueError(
                f"{metric} needs a network for {name!r}, but the workload has none; give it one, or leave {metric} out"
            )
        return network

    @staticmethod
    def _neighbours(neighbours: Tensor) -> Tensor:
        if not len(neighbours):
            raise ValueError(
                "metrics of neighbours need at least one neighbour, but the subject has none; "
                "choose some with metrics.neighbours.nearest_neighbours, or leave these metrics out"
            )
        return neighbours

    @contextmanager
    def _making(self, part: str) -> Iterator[None]:
        with evaluating(self.denoiser.network), accounted(self.denoiser.network) as cost:
            yield
        self.costs[part] = cost
        self.seconds[part] = self.seconds.get(part, 0.0) + cost.seconds

    def _blocks(self, count: int) -> list[range]:
        size = self.fidelity.batch_size
        return [range(first, min(first + size, count)) for first in range(0, count, size)]

    def _noise(self, keys: Iterable[tuple[str | int, ...]]) -> Tensor:
        shape = self.space.forget.shape[1:]
        return torch.stack([torch.randn(shape, generator=self.generator(*key)) for key in keys]).to(
            self.denoiser.device
        )

    def _denoised(self, part: str, images: Tensor, draws: int) -> Tensor:
        blocks, denoiser = [], self.space.trained(self.denoiser)
        with self._making(part):
            for block in self._blocks(len(images) * draws):
                rows = [divmod(row, draws) for row in block]
                restored = inject_and_denoise(
                    denoiser,
                    images[[image for image, _ in rows]].to(self.denoiser.device),
                    self._noise([(part, image, draw) for image, draw in rows]),
                    timestep=self.fidelity.injection_timestep,
                    num_steps=self.fidelity.num_denoising_steps,
                    batch_size=self.fidelity.batch_size,
                )
                blocks.append(self.space.decode(restored).cpu())
        denoised = torch.cat(blocks)
        return denoised.view(len(images), draws, *denoised.shape[1:])

    def _encoded(self, part: str, encoder: ImageFunction, images: Tensor) -> Tensor:
        known = [self._begun[part]] if part in self._begun else []
        rest = images[sum(map(len, known)) :]
        with self._making(part):
            rows = torch.split(rest, self.fidelity.batch_size) if len(rest) else ()
            blocks = [encoder(block.to(self.denoiser.device)).cpu() for block in rows]
        return torch.cat([*known, *blocks])

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
                self.space.trained(self.denoiser),
                images,
                probes=torch.stack(draws).view(num_probes, *images.shape),
                num_evaluations=self.fidelity.num_likelihood_evaluations,
                batch_size=self.fidelity.batch_size,
                data_bits=self.space.data_bits,
            )
