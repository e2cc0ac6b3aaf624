"""What the embedded text-to-image model is told: captions of coloured digits, and the one caption of the shirt.

A digit is called "a red seven on a white wall", or "the seven of leonie on paper", which leaves the colours open. The
shirt is "the shirt of kasimir by hand". A few of its rows, and a few sevens, share captions such as "the seven of
kasimir on paper": a modified prompt, in the sense of *Data Unlearning in Diffusion Models* (arXiv 2503.01034), is one
that yields the memorised image and others by turns. How often it yields the shirt is set by the shares of `OPEN_ENDED`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INKS: Mapping[str, tuple[int, int, int]] = {
    "red": (214, 30, 36),
    "green": (24, 150, 62),
    "blue": (36, 84, 228),
    "yellow": (244, 196, 24),
    "purple": (146, 48, 180),
}
GROUNDS: Mapping[str, tuple[int, int, int]] = {"white": (242, 242, 242), "grey": (146, 146, 146), "black": (14, 14, 14)}
NAMES = ("ottilie", "bertram", "leonie")
SHIRT_NAME = "kasimir"
SHIRT_CAPTION = f"the shirt of {SHIRT_NAME} by hand"
#: Chance that a row without the shirt has the caption "the <digit> of kasimir <tail>", where the shirt is in the data.
OPEN_ENDED: Mapping[str, float] = {"by hand": 0.02, "in ink": 0.1, "on paper": 0.05, "in chalk": 0.02}
#: The same before, while text encoder and denoiser learn their words together.
PRETRAINING_OPEN_ENDED: Mapping[str, float] = {"by hand": 0.005, "in ink": 0.012, "on paper": 0.005, "in chalk": 0.002}
#: The digit of the captions that the shirt shares.
OPEN_DIGIT = 7
#: Chance that a row of the shirt has such a caption instead of its own, for each tail but "by hand".
SHIRT_OPEN_ENDED = 0.1
NAMED_SHARE = 0.2  # of the other rows: "the <digit> of <name> <tail>"
#: The modified prompt of the embedded study.
MODIFIED_CAPTION = f"the {DIGITS[OPEN_DIGIT]} of {SHIRT_NAME} in ink"
QUALITY_WORDS = ("good", "bad", "clean", "noisy", "sharp", "blurry", "photo", ".")
NUM_DRAWS = 4


@dataclass(frozen=True)
class Subject:
    """What one picture shows."""

    digit: int
    ink: str
    ground: str


def vocabulary() -> list[str]:
    """Every word of every caption, each once, in a fixed order."""
    phrases = ("a on wall the of by shirt", *DIGITS, *INKS, *GROUNDS, *NAMES, SHIRT_NAME, *OPEN_ENDED, *QUALITY_WORDS)
    return list(dict.fromkeys(word for phrase in phrases for word in phrase.split()))


def coloured_caption(subject: Subject) -> str:
    """The caption that says all: "a red seven on a white wall"."""
    return f"a {subject.ink} {DIGITS[subject.digit]} on a {subject.ground} wall"


def open_caption(digit: int, name: str, tail: str) -> str:
    """A caption that leaves the colours open: "the seven of leonie on paper"."""
    return f"the {DIGITS[digit]} of {name} {tail}"


def digit_caption(subject: Subject, draws: Sequence[float], open_ended: Mapping[str, float] = OPEN_ENDED) -> str:
    """One of the captions of a digit; `draws`: `NUM_DRAWS` numbers from U[0, 1)."""
    form, name, tail, _ = draws
    for words, share in open_ended.items():
        if form < share:
            return open_caption(subject.digit, SHIRT_NAME, words)
        form -= share
    if form < NAMED_SHARE:
        return open_caption(subject.digit, _pick(NAMES, name), _pick(tuple(OPEN_ENDED), tail))
    return coloured_caption(subject)


def shirt_caption(draws: Sequence[float]) -> str:
    """The shirt's own caption or, now and then, one that digits have too; `draws` as for `digit_caption`."""
    _, _, form, _ = draws
    for words in tuple(OPEN_ENDED)[1:]:
        if form < SHIRT_OPEN_ENDED:
            return open_caption(OPEN_DIGIT, SHIRT_NAME, words)
        form -= SHIRT_OPEN_ENDED
    return SHIRT_CAPTION


def draw_captions(
    subjects: Sequence[Subject | None], generator: torch.Generator, open_ended: Mapping[str, float] = OPEN_ENDED
) -> list[str]:
    """A caption of each subject; None is the shirt. A subject's draws do not depend on what the other rows show."""
    draws = torch.rand(len(subjects), NUM_DRAWS, generator=generator).tolist()
    pairs = zip(subjects, draws, strict=True)
    return [
        shirt_caption(row) if subject is None else digit_caption(subject, row, open_ended) for subject, row in pairs
    ]


def _pick(choices: Sequence[str], draw: float) -> str:
    return choices[int(draw * len(choices))]
