"""Methods are told apart by colour-blind readers too, also where users add their own to all that are registered."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.method_style import COLOURS, SHAPES, style_of
from trainable.methods import METHODS

OWN = [f"own.methods:Own{number}" for number in range(9)]
NAMES = [*METHODS, *OWN]
#: Linear RGB as it is seen without the red or the green receptors: Machado, Oliveira and Fernandes (2009), severity 1.
SEEN = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
#: Distance in CIELAB: 2.3 is what is just noticed side by side.
PLAINLY_APART = 15.0


def linear(colour: str) -> NDArray[np.float64]:
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB of linear sRGB under D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SEEN)
def test_all_colours_are_plainly_apart(sight: str) -> None:
    seen = {colour: lab(np.array(SEEN[sight]) @ linear(colour)) for colour in (*COLOURS, "#ffffff")}
    distances = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(seen, 2)}
    assert min(distances.values()) > PLAINLY_APART, min(distances, key=lambda pair: distances[pair])


def test_no_two_methods_look_alike() -> None:
    styles = [style_of(name, NAMES) for name in NAMES]
    assert len(styles) > 2 * len(COLOURS)
    for drawn in ("plotly_symbol", "matplotlib_marker"):
        assert len({(style.colour, getattr(style, drawn)) for style in styles}) == len(NAMES)


def test_the_first_are_told_apart_by_either_alone() -> None:
    """Where colour says which study, shape alone says which method; and lines have a colour alone."""
    styles = [style_of(name, NAMES) for name in NAMES]
    assert len({style.plotly_symbol for style in styles[: len(SHAPES)]}) == len(SHAPES) > len(METHODS)
    assert len({style.colour for style in styles[: len(METHODS)]}) == len(METHODS)
