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
    by_name = {row[0]: row for row in result.rows}
    assert set(by_name) == {"ours", evaluation.AGAIN}
    assert all(len(row) == len(result.columns) for row in result.rows)
    table = pd.read_csv(study / "published.csv", dtype={"trial_id": str})
    measured = [(trial, which) for trial in ("00000", "00001") for which in ("ours", "published", evaluation.AGAIN)]
    assert list(zip(table["trial_id"], table["which"], strict=True)) == measured
    config = evaluation.CandidateModels(evaluation.load_study(study)).config
    rows = table.set_index(["trial_id", "which"])["network_rows"]
    published = 8 * 50 + 2 * (config.injection_timestep + 1) + 161
    assert (rows[:, "published"] == published).all()
    assert (rows[:, evaluation.AGAIN] == 8 * 50).all()
    ours = 8 * config.num_sampling_steps + 2 * config.num_denoising_steps + config.num_likelihood_evaluations
    assert (rows[:, "ours"] == ours).all()
    assert by_name["ours"][1:3] == (str(ours), " ".join([f"{published / ours:.1f}"] * 3))
    assert by_name[evaluation.AGAIN][2:5] == ("–", "–", "–")

    kept = table[table["which"] != "published"]
    kept.to_csv(study / "published.csv", index=False)
    assert sorted(evaluation.run(clone, study.parent, num_images=8, num_denoisings=2).rows) == sorted(result.rows)
    monkeypatch.setattr(evaluation, "_counted", None)  # would fail if it were called
    assert sorted(evaluation.run(clone, study.parent, num_images=8, num_denoisings=2).rows) == sorted(result.rows)


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
