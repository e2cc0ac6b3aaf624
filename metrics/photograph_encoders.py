"""Small encoders of 32x32 colour photographs, which stand in for SSCD's network and for Inception-v3.

- `PhotographCopyDescriptor`: SSCD's place (Pizzi et al., arXiv 2202.10261), the digits' `CopyDescriptor` at this size.
- `PhotographFeatures`: Inception's place in FID. Its features are those by which the images of the training set are
  told from each other and from damaged ones.

Their `label` names the stand-in: their figures compare with each other, never with published FID or SSCD.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from metrics.encoders import CopyDescriptor, Encoder, check_shape, conv_block

PHOTOGRAPH_SHAPE = (3, 32, 32)


class PhotographCopyDescriptor(CopyDescriptor):
    """A copy-detection descriptor (B, 64) of unit L2 norm, of photographs (B, 3, 32, 32).

    Not to be confused with a semantic similarity: two photographs of one cat are two different images.
    """

    architecture: ClassVar[str] = "photograph_copy_descriptor"
    label: ClassVar[str] = "photograph-trained copy descriptor"
    image_shape: ClassVar[tuple[int, int, int]] = PHOTOGRAPH_SHAPE


class PhotographFeatures(Encoder):
    """Features (B, 32) of photographs (B, 3, 32, 32), for the Fréchet distance.

    They have few dimensions on purpose: the covariance of D features takes well over D images to estimate, and a small
    set of photographs has few.
    """

    architecture: ClassVar[str] = "photograph_features"
    label: ClassVar[str] = "photograph features"
    image_shape: ClassVar[tuple[int, int, int]] = PHOTOGRAPH_SHAPE
    num_features: ClassVar[int] = 32

    def __init__(self) -> None:
        super().__init__()
        channels, height, width = self.image_shape
        self.trunk = nn.Sequential(
            conv_block(channels, 16),
            nn.MaxPool2d(2),
            conv_block(16, 32),
            nn.MaxPool2d(2),
            conv_block(32, 32),
            nn.Flatten(),
            nn.Linear(32 * (height // 4) * (width // 4), self.num_features),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 32), unbounded."""
        check_shape(images, self.image_shape)
        features: Tensor = self.trunk(images)
        return features
