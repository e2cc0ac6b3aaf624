"""Pictures that are shown side by side are made from one noise: a model that did not change gives the same picture."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from trainable.trial import TrialRunner
from tuning.measuring import measure_model, measure_untouched

SISS = {"trial_id": "00003", "method": "siss", "lambd": 0.5, "scaling_norm": 5.0, "seed": 11, "repeat": 0}
FINAL_SEED = 9


@pytest.fixture(scope="module")
def drawn(plan, tmp_path_factory):
    """Name → picture of a trial that moves no weight, and of the untouched model."""
    folder = tmp_path_factory.mktemp("pictures")
    still = dataclasses.replace(plan.training, learning_rate=1e-12, weight_decay=0.0)
    own = dataclasses.replace(
        plan, images=folder / "images", candidates=folder / "weights", log_forget_images=True, metrics=("sscd", "fid"),
        training=still,
    )  # fmt: skip
    model = own.source.settings.model
    measure_untouched(own, [], "untouched_search")
    measure_model(own, model, own.fidelity, FINAL_SEED, picture="untouched")
    runner = TrialRunner(own)
    runner.start(SISS)
    runner.advance()
    weights = own.candidates / "00003-2"
    measure_model(own, model, own.fidelity, FINAL_SEED, weights=weights, picture="00003-2-final")
    return {path.stem: np.asarray(Image.open(path)).astype(int) for path in own.images.glob("*.png")}


@pytest.mark.parametrize("kind", ["samples", "denoisings"])
@pytest.mark.parametrize(("model", "untouched"), [("00003-2", "untouched_search"), ("00003-2-final", "untouched")])
def test_a_pair_is_made_from_one_noise(drawn, kind, model, untouched):
    pictures = [drawn[f"{name}-{kind}"] for name in (model, untouched)]
    assert np.ptp(pictures[1]) > 100, "there is something on it"
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_the_two_pairs_are_made_from_different_noise(drawn):
    assert np.abs(drawn["untouched-samples"] - drawn["untouched_search-samples"]).max() > 50


def test_what_has_no_name_is_not_drawn(plan, tmp_path):
    own = dataclasses.replace(plan, images=tmp_path / "images", metrics=("sscd",))
    measure_untouched(own, [])
    assert not own.images.exists()


def test_where_no_metric_makes_samples_only_those_drawn_are_made(plan, drawn, tmp_path, monkeypatch):
    own = dataclasses.replace(plan, images=tmp_path / "images", log_forget_images=True, metrics=("sscd",))
    monkeypatch.setattr("trainable.pictures._NUM_DRAWN", 4)
    measure_untouched(own, [], "untouched_search")
    few = np.asarray(Image.open(own.images / "untouched_search-samples.png")).astype(int)
    tile = 2 * (8 + 2)
    assert few.shape == (2 * tile + 4, 2 * tile + 4), "four of the 24 images"
    assert np.array_equal(few[:tile, :tile], drawn["untouched_search-samples"][:tile, :tile]), "and the same ones"
