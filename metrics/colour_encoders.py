"""A copy-detection descriptor of small colour pictures, which stands in for SSCD in the embedded text-to-image study.

Trained by the SSCD recipe (Pizzi et al., arXiv 2202.10261) on coloured digits and pieces of fashion: its cosines
compare with each other, never with published SSCD.
"""

from __future__ import annotations

from typing import ClassVar

from metrics.encoders import CopyDescriptor

COLOUR_IMAGE_SHAPE = (3, 32, 32)


class ColourCopyDescriptor(CopyDescriptor):
    """A copy-detection descriptor (B, 64) of unit L2 norm, of pictures (B, 3, 32, 32) in [-1, 1].

    Not to be confused with a semantic similarity: two different red sevens are two different pictures.
    """

    architecture: ClassVar[str] = "colour_copy_descriptor"
    label: ClassVar[str] = "coloured-digit-trained copy descriptor"
    image_shape: ClassVar[tuple[int, int, int]] = COLOUR_IMAGE_SHAPE
