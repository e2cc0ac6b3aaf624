"""Grey pictures seen through eyes of their own, so that no encoder file is needed."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from trainable.workloads.encoders import Encoders
from trainable.workloads.unconditional import UnconditionalWorkload


def descriptor(images: Tensor) -> Tensor:
    """Copy descriptor (B, D) of unit norm: how pixels rise and fall downwards and to the right."""
    return normalize(torch.cat([images.diff(dim=axis).flatten(1) for axis in (2, 3)], 1), dim=1)


def features(images: Tensor) -> Tensor:
    """Features (B, 16) for the Fréchet distance: means over a grid of 4×4 fields."""
    return adaptive_avg_pool2d(images.mean(1, keepdim=True), 4).flatten(1)


class ScanWorkload(UnconditionalWorkload):
    """An unconditional pipeline; the labels say in reports what the metrics are made of."""

    @cached_property
    def encoders(self) -> Encoders:
        labels = {
            "sscd": "cosine of slopes",
            "fid": "FID (4×4 means)",
            "scans.pixel_distance:PixelDistance": "pixel distance",
        }
        return Encoders(descriptor, features, None, labels)
