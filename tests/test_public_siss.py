"""The published implementation beside ours, here by a stand-in of the same interface: what agrees is timed, no more."""

from dataclasses import replace

import pytest
import torch
from published_stand_in import clone, with_likelihood

from benchmarks import likelihood, siss
from benchmarks.__main__ import main
from benchmarks.embedded import Embedded
from benchmarks.public_siss import NoCloneError, PublicSISS, mixture_mask, published_probes
from diffusion.rng import stream
from metrics.testing import IMAGE_SHAPE, tiny_denoiser


@pytest.fixture(scope="module")
def case():
    images = torch.rand(9, *IMAGE_SHAPE, generator=stream(0, "published test")) * 2 - 1
    return siss.embedded_case(Embedded(tiny_denoiser(), images[:1], images[1:], "tiny"), size=6)


def test_what_agrees_is_timed(case, tmp_path):
    result = siss.run(clone(tmp_path), pairs=2, cases=[case])
    assert [row[1] for row in result.rows] == ["regrouped", "every row in both", "published"]
    assert all(len(row) == len(result.columns) for row in result.rows)
    assert [row[1] for row in siss.run(None, pairs=1, cases=[case]).rows] == ["regrouped", "every row in both"]


def test_what_does_not_agree_is_not(case, tmp_path):
    # A factor on one loss is no error by itself, since its norm is set: it must be one that differs between rows.
    wrong = clone(tmp_path, factor="torch.linspace(1, 2, len(noise)).view(-1, 1, 1, 1)")
    with pytest.raises(ArithmeticError, match="must agree"):
        siss.run(wrong, pairs=1, cases=[case])


def test_a_published_step_changes_the_weights_as_a_step_does(case, tmp_path):
    denoiser = tiny_denoiser()
    before = [parameter.clone() for parameter in denoiser.network.parameters()]
    settings = {"lambd": 0.5, "scaling_norm": 10.0, "seed": 5, "learning_rate": 1e-3}
    PublicSISS(clone(tmp_path), denoiser, **settings).step([replace(case.batch, from_forget=None)])
    moved = [(a - b).detach().abs().max() for a, b in zip(before, denoiser.network.parameters(), strict=True)]
    assert 0 < float(max(moved)) <= 1.1e-3


def test_a_likelihood_that_agrees_is_timed_and_another_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(likelihood, "_TIGHT", 161)
    images = torch.rand(2, *IMAGE_SHAPE, generator=stream(0, "published test")) * 2 - 1
    tiny = Embedded(tiny_denoiser(), images[:1], images[1:], "tiny")
    [row] = likelihood.run_published(
        with_likelihood(tmp_path / "same"), pairs=2, num_evaluations=40, embedded=tiny
    ).rows
    assert row[:2] == ("161", "40")
    assert float(row[3]) == 0.0, "the same probes and the same grid give the same value"
    with pytest.raises(ArithmeticError, match="must be within"):
        likelihood.run_published(with_likelihood(tmp_path / "other", "0.3"), pairs=1, embedded=tiny)


def test_masks_and_probes_are_those_that_torch_draws_when_seeded():
    torch.manual_seed(7)
    assert torch.equal(mixture_mask(50, 0.3, 7), torch.rand(50) <= 0.3)
    probes = published_probes(torch.zeros(2, *IMAGE_SHAPE), 7)
    assert set(probes.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(probes, published_probes(torch.ones(2, *IMAGE_SHAPE), 7))


def test_no_clone_is_said(case, tmp_path, capsys):
    with pytest.raises(NoCloneError, match=r"losses/ddpm_deletion_loss\.py, but it is not there"):
        siss.run(tmp_path, pairs=1, cases=[case])
    with pytest.raises(SystemExit):
        main(["--only", "siss", "--siss", str(clone(tmp_path))])
    assert "song_likelihood/likelihood.py, but it is not there; give --siss another path" in capsys.readouterr().err
