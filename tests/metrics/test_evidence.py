from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from diffusion.denoiser import Denoiser
from metrics.evidence import Evidence, Fidelity, Subject
from metrics.testing import TINY_FIDELITY, tiny_denoiser, tiny_evidence, tiny_subject


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_a_smaller_sample_is_a_prefix_of_a_larger_one(batch_size: int) -> None:
    many = tiny_evidence(num_images=7).samples
    few = tiny_evidence(num_images=5, batch_size=batch_size).samples

    torch.testing.assert_close(few, many[:5], rtol=1e-3, atol=1e-4)


def test_fewer_denoisings_and_noises_are_a_prefix_too() -> None:
    many, few = tiny_evidence(), tiny_evidence(num_denoisings=2, num_membership_noises=2, batch_size=3)

    torch.testing.assert_close(few.denoisings, many.denoisings[:, :2], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(few.membership_errors.retain, many.membership_errors.retain[:, :2], rtol=1e-3, atol=1e-4)


def test_no_two_images_share_their_noise() -> None:
    evidence = tiny_evidence(num_forget=2)
    images = torch.cat(
        [evidence.samples, evidence.denoisings.flatten(0, 1), evidence.neighbour_denoisings.flatten(0, 1)]
    )

    distances = torch.cdist(images.flatten(1), images.flatten(1))
    assert (distances + torch.eye(len(images)) > 1e-3).all()


def test_two_models_see_the_same_noise() -> None:
    seen: list[list[torch.Tensor]] = []
    for seed in (0, 1):
        denoiser = tiny_denoiser(seed)
        inputs: list[torch.Tensor] = []
        denoiser.network.register_forward_pre_hook(lambda _, arguments, inputs=inputs: inputs.append(arguments[0]))
        evidence = tiny_evidence(denoiser)
        for part in ("samples", "denoisings", "membership_errors"):
            inputs.clear()
            getattr(evidence, part)
            seen.append([inputs[0].clone()])

    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first[0], second[0])


def test_every_part_is_made_once_and_its_rows_are_counted() -> None:
    evidence = tiny_evidence(num_forget=2)

    assert evidence.samples is evidence.samples
    assert evidence.forget_likelihood is evidence.forget_likelihood
    for part in ("denoisings", "neighbour_denoisings", "neighbour_likelihood", "membership_errors", "sample_features"):
        getattr(evidence, part)

    assert evidence.counts == {
        "samples": 6 * 3,
        "forget_likelihood": 2 * 2 * 16,
        "denoisings": 2 * 4 * 2,
        "neighbour_denoisings": 3 * 3 * 2,  # 8 denoisings of forget images make 3 for each of 3 neighbours
        "neighbour_likelihood": 3 * 2 * 16,
        "membership_errors": (2 + 1) * 4 * 3,
        "sample_features": 0,
    }
    assert all(cost.seconds > 0 for cost in evidence.costs.values())
    assert not evidence.denoiser.network._forward_pre_hooks


def test_fixed_images_are_described_once_for_all_models_and_reports() -> None:
    evidence, seen = tiny_evidence(num_forget=2), []

    def descriptor(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.flatten(1)

    subject = replace(evidence.subject, descriptor=descriptor)
    reports = [Evidence(evidence.denoiser, subject, evidence.fidelity, seed) for seed in (0, 1)]
    for report in reports:
        assert torch.equal(report.forget_descriptors, subject.forget.flatten(1))
        assert torch.equal(report.neighbour_descriptors, subject.neighbours.flatten(1))
    assert seen == [2, 3]


def test_shapes_are_one_row_per_image_and_draw() -> None:
    evidence = tiny_evidence(num_forget=2)

    assert evidence.denoisings.shape == (2, 4, 1, 8, 8)
    assert evidence.denoising_descriptors.shape == (2, 4, 6)
    assert evidence.neighbour_denoising_descriptors.shape == (3, 3, 6)
    assert evidence.membership_errors.forget.shape == (2, 4, 3)
    assert evidence.membership_errors.retain.shape == (4, 3)
    assert evidence.forget_likelihood.bits_per_dim.shape == (2,)


def test_denoising_starts_from_the_forget_image_under_fresh_noise() -> None:
    denoiser = tiny_denoiser()
    inputs: list[torch.Tensor] = []
    denoiser.network.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    evidence = tiny_evidence(denoiser)

    _ = evidence.denoisings

    gamma, sigma = denoiser.schedule.coefficients(torch.tensor([500]), inputs[0])
    noise = (inputs[0] - gamma * evidence.subject.forget) / sigma
    assert noise.shape == (4, 1, 8, 8)
    assert noise.mean() == pytest.approx(0, abs=0.25)
    assert noise.std() == pytest.approx(1, abs=0.2)


def test_membership_errors_are_those_of_a_plain_loop() -> None:
    evidence = tiny_evidence(num_forget=2, num_membership_noises=6, batch_size=5)
    errors, denoiser = evidence.membership_errors, evidence.denoiser
    denoiser.network.eval()

    for time, t in enumerate((100, 250, 500, 750)):
        for draw in range(6):
            noise, timestep = evidence._noise([("membership", time, draw)]), torch.tensor([t])
            for image, error in (
                (evidence.subject.retain[draw % 4], errors.retain[time, draw]),
                (evidence.subject.forget[1], errors.forget[1, time, draw]),
            ):
                with torch.no_grad():
                    predicted = denoiser(denoiser.schedule.add_noise(image[None], noise, timestep), timestep)
                torch.testing.assert_close(error, (predicted - noise).square().mean(), rtol=1e-4, atol=1e-6)


def test_modes_and_hooks_are_restored_when_a_part_fails() -> None:
    class Failing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(1, 1)

        def forward(self, *_: object) -> None:
            raise RuntimeError("out of memory")

    network = Failing()
    network.inner.eval()
    evidence = tiny_evidence(Denoiser(network, tiny_denoiser().schedule))

    with pytest.raises(RuntimeError, match="out of memory"):
        _ = evidence.samples
    assert network.training
    assert not network.inner.training
    assert not network._forward_pre_hooks
    assert not evidence.counts


def test_a_fidelity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 1, but got num_images=0, batch_size=-1"):
        Fidelity(0, 1, 1, 1, 1, 1, 13, 1, -1)


def _subject(**changes: object) -> Subject:
    return replace(tiny_subject(), **changes)  # type: ignore[arg-type]


def test_images_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"retain=\(4, 1, 9, 8\): resize"):
        _subject(retain=torch.zeros(4, 1, 9, 8))


def test_no_forget_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one forget image"):
        _subject(forget=torch.zeros(0, 1, 8, 8))


@pytest.mark.parametrize(
    ("missing", "part", "message"),
    [
        ({"classifier": None}, "sample_logits", "needs a network for 'classifier'"),
        ({"neighbours": torch.zeros(0, 1, 8, 8)}, "neighbour_likelihood", "at least one neighbour"),
        ({"neighbours": torch.zeros(0, 1, 8, 8)}, "neighbour_denoisings", "at least one neighbour"),
        ({"retain": torch.zeros(0, 1, 8, 8)}, "membership_errors", "needs retain images"),
    ],
)
def test_a_part_names_what_the_subject_lacks(missing: dict[str, object], part: str, message: str) -> None:
    evidence = Evidence(tiny_denoiser(), _subject(**missing), TINY_FIDELITY, seed=0)

    with pytest.raises(ValueError, match=message):
        getattr(evidence, part)


def test_images_are_clipped_to_their_range() -> None:
    evidence = tiny_evidence()

    for images in (evidence.samples, evidence.denoisings, evidence.neighbour_denoisings):
        assert float(images.abs().max()) == 1.0, "a random network leaves the range"
