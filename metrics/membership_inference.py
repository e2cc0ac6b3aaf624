"""Does an image stand out from images that a model never saw? A rank test, by counting; no torch.

Models fit what they were trained on better than what they were not: a member of the training data has a lower negative
log-likelihood and lower denoising errors (for diffusion models Matsumoto et al., arXiv 2302.03262; Duan et al., SecMI,
arXiv 2302.01316). How low is low depends on the image, so that its statistic is compared with that of images of its
kind that the model never saw. Carlini et al. (LiRA, arXiv 2112.03570) compare with many models trained with and without
the image; here one model is at hand, and perhaps one reference, which takes off what makes an image easy or hard for
any model (`calibrated`; Watson et al., arXiv 2111.08440).

Under the hypothesis that the image is to the model as the unseen ones are, its rank among them is uniform, whatever
the statistic's distribution: the p-values are exact for every number of images, and never below ``resolution``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Standing:
    """Where an image stands among unseen ones.

    Attributes:
        value: its statistic; lower is better known to the model.
        known: p-value of "no better known than unseen images": (1 + #{s <= value}) / (n + 1). Small: it stands out as
            one that the model knows.
        estranged: p-value of "no less likely than unseen images": (1 + #{s >= value}) / (n + 1). Small: it stands out
            as one that the model was driven away from, which is as good a trace.
        percentile: share of unseen images below it, ties counted half, in [0, 1].
        distance: (value − mean) / standard deviation of the unseen images: how far out, where ranks say only that it
            is. NaN for fewer than two, or where they do not differ.
        num_unseen: n.

    All but ``value`` and ``num_unseen`` are NaN where there is no unseen image, or a statistic is not finite.
    """

    value: float
    known: float
    estranged: float
    percentile: float
    distance: float
    num_unseen: int


def standing(value: float, unseen: Sequence[float]) -> Standing:
    """The standing of an image of statistic ``value`` among images with the statistics ``unseen``; ties against it."""
    count = len(unseen)
    if not count or not all(map(math.isfinite, (value, *unseen))):
        return Standing(value, math.nan, math.nan, math.nan, math.nan, count)
    below, equal = sum(other < value for other in unseen), sum(other == value for other in unseen)
    spread = stdev(unseen) if count > 1 else 0.0
    return Standing(
        value=value,
        known=(1 + below + equal) / (count + 1),
        estranged=(1 + count - below) / (count + 1),
        percentile=(below + equal / 2) / count,
        distance=(value - fmean(unseen)) / spread if spread else math.nan,
        num_unseen=count,
    )


def calibrated(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Statistics of images under one model less those under a reference model, image by image.

    With the untouched model as reference it is how far unlearning moved each image; with a retrained one, how far each
    is from where a model has it that never saw the forget image: LiRA's evidence with a single reference.

    Raises:
        ValueError: there are not as many of one as of the other.
    """
    if len(values) != len(reference):
        raise ValueError(
            f"both models must have a statistic of each image, but got {len(values)} and {len(reference)}; "
            "measure the same images"
        )
    return [value - other for value, other in zip(values, reference, strict=True)]


def resolution(num_unseen: int) -> float:
    """The smallest p-value that ``num_unseen`` images can give, 1 / (n + 1)."""
    return 1 / (num_unseen + 1)


def images_needed(level: float) -> int:
    """The fewest unseen images with which a p-value can be at most ``level``: ⌈1 / level⌉ − 1.

    Raises:
        ValueError: unless 0 < level <= 1.
    """
    if not 0 < level <= 1:
        raise ValueError(f"0 < level <= 1 must hold, but got level={level}; give a level such as 0.05")
    return math.ceil(round(1 / level, 9)) - 1
