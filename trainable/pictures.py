"""Grids of images as PNG files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from metrics.accounting import evaluating
from metrics.evidence import Evidence
from metrics.memorised_share import copied
from metrics.regeneration_rate import regenerated
from trainable.workloads.images import to_bytes

_GAP = 2
_NUM_DRAWN = 36


def grid(images: Tensor, columns: int | None = None) -> Tensor:
    """uint8 (C, H, W): ``images`` (N, C, h, w) in [-1, 1] row by row, on a dark ground."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    channels, height, width = images.shape[1:]
    canvas = torch.full(
        (channels, rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP), 48, dtype=torch.uint8
    )
    for index, image in enumerate(to_bytes(images.cpu())):
        top, left = (
            _GAP + place * (extent + _GAP)
            for place, extent in zip(divmod(index, columns), (height, width), strict=True)
        )
        canvas[:, top : top + height, left : left + width] = image
    return canvas


def pictures(evidence: Evidence, *, forget_images: bool) -> dict[str, Tensor]:
    """The first samples, by kind, and the denoisings of the forget images.

    Where forget images may not be drawn, there are no denoisings, and samples that are copies of them are left black: a
    model that has not forgotten generates what it has memorised.
    """
    samples = _first_samples(evidence)
    if not forget_images:
        return {"samples": torch.where(_copies(evidence, samples)[:, None, None, None], -1.0, samples)}
    return {"samples": samples, "denoisings": evidence.denoisings.flatten(0, 1)[:_NUM_DRAWN]}


def _first_samples(evidence: Evidence) -> Tensor:
    """The samples that are drawn; where no metric asked for samples, no more than these are made."""
    made = evidence.samples_so_far
    if made is not None:
        return made[:_NUM_DRAWN]
    few = replace(evidence.fidelity, num_images=min(_NUM_DRAWN, evidence.fidelity.num_images))
    return Evidence(evidence.denoiser, evidence.subject, few, evidence.seed).samples


def _copies(evidence: Evidence, samples: Tensor) -> Tensor:
    """Which samples (N, C, h, w) count as a forget image, by pixels or by descriptor: (N,) bool."""
    with evaluating(evidence.denoiser.network):
        descriptors = evidence.subject.descriptor(samples.to(evidence.denoiser.device)).cpu()
    by_pixels = regenerated(samples, evidence.subject.forget.cpu())
    return by_pixels | copied(descriptors, evidence.forget_descriptors)


def save_pictures(models: Sequence[Mapping[str, Tensor]], directory: Path, name: str) -> dict[str, Path]:
    """Write one grid of each kind, in which every model has an equal part; kind → file."""
    paths = {kind: directory / f"{name}-{kind}.png" for kind in models[0]}
    for kind, path in paths.items():
        save_grid(torch.cat([drawn[kind][: _NUM_DRAWN // len(models)] for drawn in models]), path)
    return paths


def save_grid(images: Tensor, path: Path, *, columns: int | None = None, scale: int = 2) -> None:
    """Write ``images`` (N, C, h, w) in [-1, 1] as one PNG, each pixel ``scale`` pixels wide."""
    array = grid(images, columns).permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(path)
