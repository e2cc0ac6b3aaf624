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
        "face_copy_descriptor": "metrics.face_encoders:FaceCopyDescriptor",
        "face_features": "metrics.face_encoders:FaceFeatures",
        "colour_copy_descriptor": "metrics.colour_encoders:ColourCopyDescriptor",
    },
)
