"""The images to keep, and what is seen of all of them in one pass: the same for every forget image of a study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from metrics.gaussian import GaussianStatistics
from trainable.workloads.encoders import Encoders
from trainable.workloads.images import Images, to_unit_range
from trainable.workloads.seen_cache import Seen, SeenCache
from trainable.workloads.workload import Told

_BLOCK = 128  # images that are looked at together


class RetainSet:
    """Images as they lie in a folder or archive; which of them are retained depends on the forget images.

    Args:
        images: uint8, read when they are asked for.
        encoders: what the images are looked at through.
        device: where that is done.
        cache: where what was seen is kept for other studies, if anywhere.

    Attributes:
        told: hears how many images were looked at, and of how many; None where nobody waits.
    """

    told: Told | None = None

    def __init__(
        self, images: Images, encoders: Encoders, device: torch.device, cache: SeenCache | None = None
    ) -> None:
        self.images = images
        self._encoders = encoders
        self._device = device
        self._cache = cache

    @cached_property
    def seen(self) -> Seen:
        """Reads every image, where nobody did before."""
        kept = None if self._cache is None else self._cache.recall()
        if kept is not None and len(kept.digests) == len(self.images):
            return kept
        seen = self._look()
        if self._cache is not None:
            self._cache.keep(seen)
        return seen

    def _look(self) -> Seen:
        digests: list[bytes] = []
        descriptors, features = [], []
        with torch.no_grad():
            for block in self.blocks(torch.arange(len(self.images))):
                images = to_unit_range(block).to(self._device)
                digests += _digests(block)
                descriptors.append(self._encoders.descriptor(images).cpu())
                if self._encoders.features is not None:
                    features.append(self._encoders.features(images).cpu())
                if self.told is not None:
                    self.told(len(digests), len(self.images))
        return Seen(digests, torch.cat(descriptors), torch.cat(features) if features else None)

    def without(self, forget: Tensor) -> Tensor:
        """Rows (R,) int64 of X∖A: all images that are no copy of a forget image (F, C, H, W)."""
        forgotten = set(_digests(forget))
        return torch.tensor([row for row, digest in enumerate(self.seen.digests) if digest not in forgotten])

    def statistics(self, rows: Tensor) -> GaussianStatistics | None:
        """Of the features of ``rows``; None where there is no feature network."""
        features = self.seen.features
        return None if features is None else GaussianStatistics.of(torch.split(features[rows], _BLOCK))

    def blocks(self, rows: Tensor) -> Iterator[Tensor]:
        """The images of ``rows``, uint8 (B, C, H, W) at a time."""
        return (self.images[block] for block in torch.split(rows, _BLOCK))


def _digests(images: Tensor) -> list[bytes]:
    return [hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in images]
