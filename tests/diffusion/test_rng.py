"""Private streams: equal for equal purposes, independent otherwise, and apart from torch's own generator."""

import itertools

import torch

from diffusion.rng import derive_seed, stream

PURPOSES = [
    (0, "noise", 1),
    (0, "noise", 2),
    (0, "data", 1),
    (1, "noise", 1),
    (0, "noise", "1"),
    (0, "noise"),
    (0, "n", "oise"),
]


def test_every_purpose_has_a_stream_of_its_own():
    draws = [torch.rand(4, generator=stream(*purpose)) for purpose in PURPOSES]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(draws, 2))
    assert all(torch.equal(a, torch.rand(4, generator=stream(*p))) for a, p in zip(draws, PURPOSES, strict=True))


def test_seeds_are_the_same_in_every_process():
    assert derive_seed(7, "noise", 3) == 688029818303412596
    assert 0 <= derive_seed(7, "noise", 3) < 2**63
