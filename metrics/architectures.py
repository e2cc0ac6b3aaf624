"""Architectures that an encoder file may name in its metadata; a registry, so that naming them imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import Registry

if TYPE_CHECKING:
    from metrics.encoders import Encoder

ENCODERS: Registry[type[Encoder]] = Registry(
    "encoder architecture",
    {
        "digit_classifier": "metrics.encoders:DigitClassifier",
        "copy_descriptor": "metrics.encoders:CopyDescriptor",
        "photograph_copy_descriptor": "metrics.photograph_encoders:PhotographCopyDescriptor",
        "photograph_features": "metrics.photograph_encoders:PhotographFeatures",
        "colour_copy_descriptor": "metrics.colour_encoders:ColourCopyDescriptor",
    },
)
