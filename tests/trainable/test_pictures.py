"""Where forget images may not be drawn, neither they nor what the model remembers of them are in any picture."""

import pytest
import torch

from metrics.testing import tiny_evidence
from trainable.pictures import pictures


@pytest.fixture
def evidence():
    """Its samples are two pictures of noise, a forget image, and that image as no descriptor would take it."""
    evidence = tiny_evidence(num_images=4)
    noise = torch.randn(2, *evidence.samples.shape[1:], generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    forget = evidence.subject.forget
    vars(evidence)["samples"] = torch.cat([noise, forget, (forget + 0.05).clamp(-1, 1)])
    apart = torch.nn.functional.one_hot(torch.arange(2), 2).float()
    vars(evidence)["forget_descriptors"] = apart[:1]
    object.__setattr__(evidence.subject, "descriptor", lambda images: apart[[1, 1, 0, 1]])
    return evidence


def test_copies_are_left_black_by_descriptor_and_by_pixels(evidence):
    samples = pictures(evidence, forget_images=False)["samples"]
    assert (samples == -1).flatten(1).all(1).tolist() == [False, False, True, True]
    assert samples[:2].equal(evidence.samples[:2])
    object.__setattr__(evidence.subject, "descriptor", lambda images: torch.tensor([[1.0, 0]] + [[0, 1.0]] * 3))
    assert (pictures(evidence, forget_images=False)["samples"] == -1).flatten(1).all(1).tolist() == [
        True,
        False,
        True,
        True,
    ]


def test_denoisings_are_drawn_where_forget_images_may_be(evidence):
    assert set(pictures(evidence, forget_images=False)) == {"samples"}
    drawn = pictures(evidence, forget_images=True)
    assert drawn["samples"].equal(evidence.samples)
    assert drawn["denoisings"].equal(evidence.denoisings.flatten(0, 1)[:36])
