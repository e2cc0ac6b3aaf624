"""How much is measured, and against what: the settings of an ``Evidence``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

from torch import Tensor

from metrics.gaussian import GaussianStatistics
from metrics.space import ModelSpace

#: Images (B, C, H, W) in [-1, 1] to a row each, (B, …).
ImageFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Fidelity:
    """How much is measured.

    Attributes:
        num_images: generated images, for fid, inception_score and regeneration_rate.
        num_sampling_steps: network calls a generated image.
        num_denoisings: injections of each forget image, for sscd.
        num_denoising_steps: network calls a denoising.
        injection_timestep: the timestep an image is noised to before it is denoised, inside 1 … T-1.
        num_probes: Hutchinson probes of each forget image, for nll.
        num_likelihood_evaluations: network calls a probe, at least 13.
        num_membership_noises: noises of each forget image at each of the four timesteps of membership_loss.
        batch_size: largest number of rows in a network call; it changes values by rounding only.

    Raises:
        ValueError: if one of them is less than 1.
    """

    num_images: int
    num_sampling_steps: int
    num_denoisings: int
    num_denoising_steps: int
    injection_timestep: int
    num_probes: int
    num_likelihood_evaluations: int
    num_membership_noises: int
    batch_size: int

    def __post_init__(self) -> None:
        wrong = [f"{entry.name}={getattr(self, entry.name)}" for entry in fields(self) if getattr(self, entry.name) < 1]
        if wrong:
            raise ValueError(f"every field of Fidelity must be at least 1, but got {', '.join(wrong)}")

    def share(self, part: float) -> Fidelity:
        """The same with a part of the images, denoisings and probes, rounded up: their first ones.

        At least two of each, where there are two: one has no standard error.

        Args:
            part: in (0, 1].
        """
        counts = {name: getattr(self, name) for name in ("num_images", "num_denoisings", "num_probes")}
        return replace(self, **{name: max(min(2, whole), math.ceil(part * whole)) for name, whole in counts.items()})


@dataclass(frozen=True)
class Subject:
    """What is measured against: the same in every report of a study.

    Attributes:
        forget: (F, C, H, W) in [-1, 1], F >= 1.
        neighbours: (K, C, H, W), the retain images nearest to the forget images in descriptor space; K = 0 is allowed
            where no metric of neighbours is asked for.
        retain: (R, C, H, W), a fixed sample of retain images, for membership_loss.
        descriptor: L2-normalised copy-detection descriptors (B, D) of images (B, C, H, W) in [-1, 1].
        features: features (B, D) for the Fréchet distance; None where that is not asked for.
        classifier: logits (B, classes), for the Inception Score.
        real_statistics: of ``features`` of real images, made once per study.
        quality: probabilities (B,) that an image is a good photo, for CLIP-IQA.
        memorised: descriptors (B, D) to (B,) bool, whether each lies nearest to a memorised cluster of what the
            untouched model makes; for memorised_share.
        latent: what the network works on where that is not these images.
        labels: metric name to its label in reports, for instance ``{"fid": "FID (digit features)"}``.

    Encoders are in evaluation mode and on the network's device.

    Raises:
        ValueError: if there is no forget image, or the images differ in shape.
    """

    forget: Tensor
    neighbours: Tensor
    retain: Tensor
    descriptor: ImageFunction
    features: ImageFunction | None
    classifier: ImageFunction | None
    real_statistics: GaussianStatistics | None
    labels: Mapping[str, str] = field(default_factory=dict)
    quality: ImageFunction | None = None
    memorised: ImageFunction | None = None
    latent: ModelSpace | None = None
    _made: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def space(self) -> ModelSpace:
        """What the network works on."""
        return self.latent or ModelSpace(self.forget, self.neighbours, self.retain)

    def once(self, part: str, make: Callable[[], Tensor]) -> Tensor:
        """A part of the evidence that is the same in every report: made when it is first asked for."""
        if part not in self._made:
            self._made[part] = make()
        return self._made[part]

    def __post_init__(self) -> None:
        groups = {"forget": self.forget, "neighbours": self.neighbours, "retain": self.retain}
        if any(images.ndim != 4 or images.shape[1:] != self.forget.shape[1:] for images in groups.values()):
            shapes = ", ".join(f"{name}={tuple(images.shape)}" for name, images in groups.items())
            raise ValueError(f"images must be (N, C, H, W) of one size, but got {shapes}: resize them alike")
        if not len(self.forget):
            raise ValueError("there must be at least one forget image, but got none")
