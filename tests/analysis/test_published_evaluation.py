"""A full evaluation as published, beside ours, on a real study of the miniature."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from published_stand_in import with_likelihood

from benchmarks import evaluation
from metrics.testing import tiny_denoiser, tiny_evidence
from tuning.files import StudyFiles

pytestmark = pytest.mark.filterwarnings("ignore")


def test_both_are_counted_compared_and_kept(real_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Path(shutil.copytree(real_study, tmp_path / "runs" / real_study.name))
    StudyFiles(study).timing.write_text(json.dumps({}))
    clone = with_likelihood(tmp_path / "clone")
    result = evaluation.run(clone, study.parent, num_images=8, num_denoisings=2)
    [row] = result.rows
    assert len(row) == len(result.columns)
    table = pd.read_csv(study / "published.csv", dtype={"trial_id": str})
    assert sorted(zip(table["trial_id"], table["which"], strict=True)) == [
        ("00000", "ours"), ("00000", "published"), ("00001", "ours"), ("00001", "published"),
    ]  # fmt: skip
    config = evaluation.CandidateModels(evaluation.load_study(study)).config
    rows = table.set_index(["trial_id", "which"])["network_rows"]
    assert (rows[:, "published"] == 8 * 50 + 2 * (config.injection_timestep + 1) + 161).all()
    ours = 8 * config.num_sampling_steps + 2 * config.num_denoising_steps + config.num_likelihood_evaluations
    assert (rows[:, "ours"] == ours).all()
    assert float(row[2]) == pytest.approx(float(rows["00000", "published"] / ours), abs=0.05)

    monkeypatch.setattr(evaluation, "_both", None)  # would fail if it were called
    assert evaluation.run(clone, study.parent, num_images=8, num_denoisings=2) == result


def test_ancestral_sampling_makes_the_images_that_the_model_stands_for() -> None:
    """Of a model of one image, that image, whatever the noise."""
    evidence = tiny_evidence()
    image = evidence.subject.forget[:1]
    denoiser = tiny_denoiser()

    class OneImage(torch.nn.Module):
        weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor, t: torch.Tensor, **_: object) -> torch.Tensor:
            alpha_bar = denoiser.schedule.alphas_cumprod[t.long()].view(-1, 1, 1, 1)
            return (x - alpha_bar.sqrt() * image) / (1 - alpha_bar).sqrt()

    denoiser.network = OneImage()
    samples = evaluation.ancestral_samples(denoiser, evidence.subject, evidence.fidelity, seed=3)
    assert samples.shape == (evidence.fidelity.num_images, *image.shape[1:])
    assert torch.allclose(samples, image.clamp(-1, 1).expand_as(samples), atol=0.05)
    restored = evaluation.ancestral_denoisings(denoiser, evidence.subject, evidence.fidelity, seed=3)
    assert restored.shape[:2] == (len(evidence.subject.forget), evidence.fidelity.num_denoisings)
    assert torch.allclose(restored[0], image.expand_as(restored[0]), atol=0.05)
