"""How well the embedded encoders do what they stand in for, on images that they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.encoders import CopyDescriptor, DigitClassifier
from metrics.gaussian import GaussianStatistics
from scripts.assets_lib.augmentations import copy_edit
from scripts.assets_lib.estimate import Estimate
from scripts.assets_lib.images import in_random_order

NOISE_LEVELS = (0.1, 0.2, 0.4)


@dataclass(frozen=True)
class EncoderQuality:
    """Figures of both encoders; cosines are to the T-shirt."""

    accuracy: float
    num_held_out: int
    accuracy_unseen: float
    confidence: Estimate  # in held-out digits: what a perfect sampler would reach
    frechet: float  # of held-out digits to as many training digits: likewise
    auc: float  # copies against all other unseen images
    auc_digits: float  # against other digits
    auc_tshirts: float  # against other T-shirts, the hard case
    noised_copies: Mapping[float, Estimate]  # by the noise's standard deviation
    edited_copies: Estimate
    other_tshirts: Estimate
    other_tshirts_maximum: float
    digits: Estimate


@torch.no_grad()
def accuracy(classifier: DigitClassifier, images: Tensor, labels: Tensor) -> float:
    """Share of `images` whose largest logit is their label."""
    guesses = torch.cat([classifier(chunk).argmax(dim=1) for chunk in torch.split(images, 500)])
    return (guesses == labels).double().mean().item()


@torch.no_grad()
def copy_auc(descriptor: CopyDescriptor, images: Tensor, *, seed: int = 1) -> float:
    """ROC AUC of the cosine, copies against other images: the chance of ranking a copy above another image.

    Positives: each image with an edited copy of itself; negatives: each image with the edited copies of all others.
    """
    generator = torch.Generator().manual_seed(seed)
    cosines = descriptor(images) @ descriptor(copy_edit(images, generator)).T
    same = torch.eye(len(images), dtype=torch.bool)
    others = cosines[~same].sort().values
    return (torch.searchsorted(others, cosines[same]).double() / len(others)).mean().item()


@torch.no_grad()
def measure_encoders(
    classifier: DigitClassifier,
    descriptor: CopyDescriptor,
    held_out: tuple[Tensor, Tensor],
    unseen: tuple[Tensor, Tensor],
    training: Tensor,
    tshirts: Tensor,
    tshirt: Tensor,
) -> EncoderQuality:
    """All figures of both encoders.

    Args:
        held_out, unseen: digits (N, 1, 28, 28) that were not trained on, and their labels (N,).
        training: as many training digits as samples are measured.
        tshirts: T-shirts other than the image to forget.
        tshirt: the image to forget, (1, 1, 28, 28).
    """
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(256, 1, 28, 28, generator=generator)
    fresh = in_random_order(held_out[0])[: len(training)]
    target = descriptor(tshirt)[0]
    others = descriptor(tshirts) @ target
    edited = copy_edit(torch.cat((tshirt, tshirts)).repeat(64, 1, 1, 1), generator)[:: len(tshirts) + 1]
    return EncoderQuality(
        accuracy=accuracy(classifier, *held_out),
        num_held_out=len(held_out[0]),
        accuracy_unseen=accuracy(classifier, *unseen),
        confidence=Estimate.of(classifier(fresh).softmax(dim=1).amax(dim=1)),
        frechet=GaussianStatistics.of(classifier.features(fresh)).distance(
            GaussianStatistics.of(classifier.features(training))
        ),
        auc=copy_auc(descriptor, torch.cat((unseen[0], tshirts))),
        auc_digits=copy_auc(descriptor, unseen[0]),
        auc_tshirts=copy_auc(descriptor, tshirts),
        noised_copies={level: Estimate.of(descriptor(tshirt + level * noise) @ target) for level in NOISE_LEVELS},
        edited_copies=Estimate.of(descriptor(edited) @ target),
        other_tshirts=Estimate.of(others),
        other_tshirts_maximum=others.max().item(),
        digits=Estimate.of(descriptor(unseen[0]) @ target),
    )
