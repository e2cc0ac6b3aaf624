"""The copy descriptor of coloured pictures, by the recipe of the grey one (SSCD, arXiv 2202.10261), and its worth."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from metrics.colour_encoders import ColourCopyDescriptor
from scripts.assets_lib.augmentations import copy_edit
from scripts.assets_lib.coloured_images import draw_pictures
from scripts.assets_lib.encoder_training import ENTROPY_WEIGHT, contrastive_loss, entropy_loss
from scripts.assets_lib.training_loop import LoopConfig, TrainingLoop

CONFIG = LoopConfig(steps=800, peak_lr=3e-3, weight_decay=1e-2, grad_clip=10.0)
BATCH_SIZE = 128


def train_colour_descriptor(digits: Tensor, fashion: Tensor, config: LoopConfig, scratch: Path) -> ColourCopyDescriptor:
    """NT-Xent between two edits of each picture plus the entropy regulariser; `fashion` without the shirt."""
    torch.manual_seed(config.seed)
    descriptor = ColourCopyDescriptor()

    def loss(generator: torch.Generator) -> Tensor:
        pictures = draw_pictures(digits, fashion, BATCH_SIZE, generator)
        views = torch.cat((copy_edit(pictures, generator), copy_edit(pictures, generator)))
        descriptors = descriptor(views)
        cosines = descriptors @ descriptors.T
        return contrastive_loss(cosines) + ENTROPY_WEIGHT * entropy_loss(cosines)

    return TrainingLoop("descriptor", descriptor, loss, config, scratch).run()


@torch.no_grad()
def copy_auc(descriptor: ColourCopyDescriptor, pictures: Tensor, generator: torch.Generator) -> float:
    """ROC AUC of the cosine: each picture with an edited copy of itself, against with edited copies of others."""
    cosines = descriptor(pictures) @ descriptor(copy_edit(pictures, generator)).T
    same = torch.eye(len(pictures), dtype=torch.bool)
    others = cosines[~same].sort().values
    return (torch.searchsorted(others, cosines[same]).double() / len(others)).mean().item()
