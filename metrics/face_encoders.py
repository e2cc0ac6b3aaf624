"""Small encoders of 24x24 greyscale faces, which stand in for SSCD's network and for Inception-v3.

- `FaceCopyDescriptor`: SSCD's place (Pizzi et al., arXiv 2202.10261), the digits' `CopyDescriptor` at this size.
- `FaceFeatures`: Inception's place in FID. Its features are those by which the faces of the training set are told from
  each other, from what is no face, and from damaged faces.

Their `label` names the stand-in: their figures compare with each other, never with published FID or SSCD.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from metrics.encoders import CopyDescriptor, Encoder, check_shape, conv_block

FACE_SHAPE = (1, 24, 24)


class FaceCopyDescriptor(CopyDescriptor):
    """A copy-detection descriptor (B, 64) of unit L2 norm, of faces (B, 1, 24, 24).

    Not to be confused with face recognition: two photographs of one person are two different images.
    """

    architecture: ClassVar[str] = "face_copy_descriptor"
    label: ClassVar[str] = "face-trained copy descriptor"
    image_shape: ClassVar[tuple[int, int, int]] = FACE_SHAPE


class FaceFeatures(Encoder):
    """Features (B, 32) of faces (B, 1, 24, 24), for the Fréchet distance.

    They have few dimensions on purpose: the covariance of D features takes well over D images to estimate, and a small
    set of faces has few.
    """

    architecture: ClassVar[str] = "face_features"
    label: ClassVar[str] = "face features"
    image_shape: ClassVar[tuple[int, int, int]] = FACE_SHAPE
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
