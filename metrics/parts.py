"""What metrics are made from, for whoever must know it before torch is imported: parts of ``Evidence`` by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

#: Registered metric → the parts that it reads: what its class says as ``needs``, which a contract test compares.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "nll": ("forget_likelihood",),
    "sscd": ("denoising_descriptors", "forget_descriptors"),
    "fid": ("sample_features",),
    "inception_score": ("samples", "sample_logits"),
    "clip_iqa": ("sample_quality",),
    "sscd_original": ("sample_descriptors", "forget_descriptors"),
    "memorised_share": ("sample_descriptors",),
    "copied_share": ("sample_descriptors", "forget_descriptors"),
    "regeneration_rate": ("samples",),
    "membership_loss": ("membership_errors",),
    "nll_neighbours": ("neighbour_likelihood",),
    "sscd_neighbours": ("neighbour_descriptors", "neighbour_denoising_descriptors"),
}
#: How the name of a part ends that a network looks at images for → the study's field that names the network.
_NETWORKS: Final = {
    "descriptors": "descriptor",
    "sample_features": "features",
    "sample_logits": "classifier",
    "sample_quality": "clip",
}


def is_of_samples(part: str) -> bool:
    """Whether a part is made of generated images."""
    return part.startswith("sample")


def are_of_samples(needs: Iterable[str]) -> bool:
    """Whether a metric is computed from generated images, and from nothing else that a model makes."""
    made = set(needs) - {"forget_descriptors"}
    return bool(made) and all(map(is_of_samples, made))


def network_of(needs: Iterable[str]) -> str | None:
    """The field of a study that names the network which a metric looks through; None where it needs none."""
    found = (field for part in needs for ending, field in _NETWORKS.items() if part.endswith(ending))
    return next(found, None)


def draws_of_each_neighbour(total: int, num_forget: int, num_neighbours: int) -> int:
    """Draws of each neighbour: together about as many as the forget images have, but 2 for an error bar."""
    return 1 if total < 2 else max(2, math.ceil(total * num_forget / max(num_neighbours, 1)))
