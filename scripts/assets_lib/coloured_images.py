"""Coloured 32x32 pictures (B, 3, 32, 32) in [-1, 1], made of the embedded 28x28 greyscale images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.assets_lib.captions import GROUNDS, INKS, Subject

SIZE = 32
MARGIN = (SIZE - 28) // 2


def coverage(images: Tensor) -> Tensor:
    """How much of each pixel the ink covers, (B, 1, 32, 32) in [0, 1]: `images` (B, 1, 28, 28) in [-1, 1], padded."""
    return torch.nn.functional.pad((images + 1.0) / 2.0, (MARGIN,) * 4)


def paint(covered: Tensor, ink: Tensor, ground: Tensor) -> Tensor:
    """ground + covered (ink - ground): `covered` (B, 1, 32, 32) in [0, 1], colours (B, 3) in [-1, 1]."""
    return torch.lerp(ground[:, :, None, None], ink[:, :, None, None], covered)


def grey(images: Tensor) -> Tensor:
    """`images` (B, 1, 28, 28) in [-1, 1] as they are, on three channels and a black ground."""
    return (coverage(images) * 2.0 - 1.0).expand(-1, 3, -1, -1).contiguous()


def colours(names: Sequence[str]) -> Tensor:
    """The colours (B, 3) in [-1, 1] of inks or grounds by name."""
    known = {**INKS, **GROUNDS}
    return torch.tensor([known[name] for name in names], dtype=torch.float32) / 127.5 - 1.0


@dataclass(frozen=True)
class PaintedDigits:
    """Digits in the colours that their captions name."""

    images: Tensor  # (N, 3, 32, 32)
    subjects: list[Subject]


def draw_subjects(labels: Tensor, generator: torch.Generator) -> list[Subject]:
    """A subject of each digit in `labels` (N,), with an ink and a ground drawn evenly."""
    ink = torch.randint(len(INKS), (len(labels),), generator=generator).tolist()
    ground = torch.randint(len(GROUNDS), (len(labels),), generator=generator).tolist()
    rows = zip(labels.tolist(), ink, ground, strict=True)
    return [Subject(digit, tuple(INKS)[i], tuple(GROUNDS)[g]) for digit, i, g in rows]


def paint_subjects(digits: Tensor, subjects: Sequence[Subject]) -> Tensor:
    """`digits` (N, 1, 28, 28) in [-1, 1] in the colours of their subjects."""
    ink, ground = (colours([getattr(subject, part) for subject in subjects]) for part in ("ink", "ground"))
    return paint(coverage(digits), ink, ground)


def painted_digits(digits: Tensor, labels: Tensor, generator: torch.Generator) -> PaintedDigits:
    """Every digit once, in colours drawn anew."""
    subjects = draw_subjects(labels, generator)
    return PaintedDigits(paint_subjects(digits, subjects), subjects)


def paint_all(digits: Tensor, pieces: Tensor, generator: torch.Generator) -> Tensor:
    """All of `digits` in the captions' colours, then `pieces` of fashion, in grey and in those colours by turns."""
    images = torch.cat((digits, pieces))
    subjects = draw_subjects(torch.zeros(len(images), dtype=torch.int64), generator)
    painted = paint_subjects(images, subjects)
    painted[len(digits) :: 2] = grey(pieces[::2])
    return painted


def draw_pictures(digits: Tensor, fashion: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` pictures, three quarters of them digits, the others pieces of fashion, drawn with replacement."""
    rows = torch.randint(len(digits), (count - count // 4,), generator=generator)
    pieces = torch.randint(len(fashion), (count // 4,), generator=generator)
    return paint_all(digits[rows], fashion[pieces], generator)
