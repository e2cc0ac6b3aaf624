"""Training of the embedded encoders: the digit classifier and the copy descriptor (SSCD recipe, arXiv 2202.10261)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from metrics.encoders import CopyDescriptor, DigitClassifier
from scripts.assets_lib.augmentations import affine, copy_edit, noise

logger = logging.getLogger(__name__)
TEMPERATURE = 0.05  # SSCD, section 4
ENTROPY_WEIGHT = 5.0  # SSCD takes 30 on photographs; see `entropy_loss`


def train_classifier(images: Tensor, labels: Tensor, *, epochs: int = 12, seed: int = 0) -> DigitClassifier:
    """A digit classifier, by cross-entropy on slightly shifted, turned, scaled and noisy digits."""
    torch.manual_seed(seed)
    classifier = DigitClassifier()

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        altered = affine(images[rows], degrees=12.0, scale=0.12, shift=2.0, generator=generator)
        logits = classifier(noise(altered, 0.1, generator))
        return nn.functional.cross_entropy(logits, labels[rows], label_smoothing=0.02)

    optimise(classifier, loss, len(images), batch_size=100, steps=epochs * len(images) // 100, seed=seed)
    return classifier.eval()


def train_descriptor(
    images: Tensor,
    kinds: Tensor,
    *,
    architecture: type[CopyDescriptor] = CopyDescriptor,
    steps: int = 2000,
    batch_size: int = 192,
    seed: int = 0,
) -> CopyDescriptor:
    """A copy descriptor, by NT-Xent between two edits of each image plus the entropy regulariser.

    Half of each batch is of one kind (`kinds` (N,), int64), drawn anew each step: another image of the same kind is
    what a copy is easily mistaken for.
    """
    torch.manual_seed(seed)
    descriptor = architecture()
    of_kind = [(kinds == kind).nonzero()[:, 0] for kind in torch.unique(kinds)]

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        alike = of_kind[int(torch.randint(len(of_kind), (1,), generator=generator))]
        some = alike[torch.randperm(len(alike), generator=generator)[: batch_size // 2]]
        chosen = images[torch.cat((rows[~torch.isin(rows, some)][: batch_size - len(some)], some))]
        views = torch.cat((copy_edit(chosen, generator), copy_edit(chosen, generator)))
        descriptors = descriptor(views)
        cosines = descriptors @ descriptors.T
        return contrastive_loss(cosines) + ENTROPY_WEIGHT * entropy_loss(cosines)

    optimise(descriptor, loss, len(images), batch_size=batch_size, steps=steps, seed=seed)
    return descriptor.eval()


def contrastive_loss(cosines: Tensor) -> Tensor:
    """NT-Xent (arXiv 2002.05709, eq. 1) of the cosines (2B, 2B) of views whose rows i and i + B are one image."""
    size = len(cosines)
    partner = (torch.arange(size) + size // 2) % size
    logits = (cosines / TEMPERATURE).masked_fill(torch.eye(size, dtype=torch.bool), -math.inf)
    return nn.functional.cross_entropy(logits, partner)


def entropy_loss(cosines: Tensor) -> Tensor:
    """KoLeo: -E log of the distance to the nearest view of another image (SSCD, eq. 4; arXiv 1806.03198).

    Spreads descriptors over the sphere, so that one threshold on the cosine serves everywhere.
    """
    size = len(cosines)
    image = torch.arange(size) % (size // 2)
    nearest = cosines.masked_fill(image[:, None] == image[None, :], -1.0).amax(dim=1)
    distance = (2.0 - 2.0 * nearest).clamp(min=1e-6).sqrt()
    return -distance.log().mean()


def optimise(
    module: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    num_images: int,
    *,
    batch_size: int,
    steps: int,
    seed: int,
    peak_lr: float = 3e-3,
) -> None:
    """AdamW with a one-cycle learning rate; `loss` is given the rows of the batch and the random stream."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=peak_lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak_lr, total_steps=steps)
    for step in range(steps):
        rows = torch.randperm(num_images, generator=generator)[:batch_size]
        value = loss(rows, generator)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            logger.info("%s step %d/%d loss %.4f", type(module).__name__, step + 1, steps, value.item())
