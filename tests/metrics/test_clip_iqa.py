"""CLIP-IQA: the network side against CLIP's own processor, and the metric over what it answers."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from diffusion.rng import stream
from metrics.clip_iqa import ClipImageQuality
from metrics.encoder_files import labelled
from metrics.metric import Measurement
from metrics.published import MAX_ROWS
from metrics.quality import ClipQuality
from metrics.testing_networks import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "clip-tiny"
    write_clip(directory)
    return directory


@pytest.fixture(scope="module")
def quality(clip: Path) -> ClipQuality:
    return ClipQuality(str(clip))


def random_images(count: int, channels: int = 3, size: int = 24) -> Tensor:
    """Flat colours with some noise, (count, channels, size, size) in [-1, 1]."""
    generator = stream(0, "images")
    colours = torch.rand(count, channels, 1, 1, generator=generator) * 2 - 1
    return (colours + 0.3 * torch.randn(count, channels, size, size, generator=generator)).clamp(-1, 1)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Attempts to reach another machine, each refused."""
    attempts: list[object] = []

    def refuse(*address: object, **_: object) -> None:
        attempts.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    return attempts


class TestNetwork:
    def test_probabilities_are_the_softmax_of_clips_own_cosines(self, clip: Path, quality: ClipQuality) -> None:
        from torchvision.transforms.functional import to_pil_image
        from transformers import CLIPModel, CLIPProcessor

        images = random_images(12)
        model, processor = CLIPModel.from_pretrained(clip), CLIPProcessor.from_pretrained(clip)
        pictures = [to_pil_image(((image + 1) * 127.5).round().byte()) for image in images]
        rows = processor(text=["Good photo.", "Bad photo."], images=pictures, return_tensors="pt", padding=True)
        with torch.no_grad():
            output = model.eval()(**rows)
        cosines = output.image_embeds @ output.text_embeds.T
        expected = (100 * cosines).softmax(1)[:, 0]

        found = quality(images)
        assert found.shape == (12,)
        assert expected.std() > 0.02
        # The processor resizes pictures in 8 bits and tensors in floating point.
        torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)

    def test_texts_are_encoded_once(self, quality: ClipQuality) -> None:
        images = random_images(MAX_ROWS + 2)
        with patch.object(quality.metric.model, "get_text_features") as encode_texts:
            together, alone = quality(images), quality(images[-1:])
        assert not encode_texts.called
        assert together.shape == (MAX_ROWS + 2,)
        assert alone.shape == (1,)
        torch.testing.assert_close(together[-1:], alone, atol=1e-5, rtol=0)

    def test_it_is_frozen_and_named_after_its_model(self, quality: ClipQuality) -> None:
        assert not quality.metric.model.training
        assert not any(parameter.requires_grad for parameter in quality.parameters())
        assert labelled("CLIP-IQA", quality) == "CLIP-IQA (clip-tiny)"

    def test_grey_images_and_such_as_are_not_finite(self, quality: ClipQuality) -> None:
        images = random_images(3, channels=1)
        torch.testing.assert_close(quality(images), quality(images.expand(-1, 3, -1, -1)))
        images[1, 0, 2, 2] = math.nan
        assert quality(images).isnan().tolist() == [False, True, False]

    def test_what_it_answers_can_be_computed_with(self, quality: ClipQuality) -> None:
        found = quality(random_images(2))
        found += 1  # an inference tensor would refuse
        assert found.dtype == torch.float32

    @pytest.mark.parametrize("location", ["nobody/no-such-clip", "{}"])
    def test_what_is_no_model_is_refused_and_nothing_is_asked_for(
        self, location: str, tmp_path: Path, connections: list[object]
    ) -> None:
        with pytest.raises(ValueError, match=r"clip must be a CLIP model.*python scripts/fetch_assets.py clip"):
            ClipQuality(location.format(tmp_path))
        assert not connections

    def test_a_hub_id_is_taken_from_the_cache_and_nothing_is_asked_for(
        self, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connections: list[object]
    ) -> None:
        cached = tmp_path / "models--somebody--clip"
        shutil.copytree(clip, cached / "snapshots" / "abc")
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text("abc")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

        quality = ClipQuality("somebody/clip")
        assert labelled("CLIP-IQA", quality) == "CLIP-IQA (somebody/clip)"
        assert quality(random_images(2)).isfinite().all()
        assert not connections

    def test_pickled_weights_are_refused(self, clip: Path, tmp_path: Path) -> None:
        from transformers import CLIPModel

        for file in clip.iterdir():
            if file.suffix == ".json":
                (tmp_path / file.name).write_bytes(file.read_bytes())
        torch.save(CLIPModel.from_pretrained(clip).state_dict(), tmp_path / "pytorch_model.bin")
        with pytest.raises(ValueError, match="safetensors weights"):
            ClipQuality(str(tmp_path))


def measured(quality: Tensor) -> Measurement:
    evidence: Any = SimpleNamespace(sample_quality=quality, generator=lambda *purpose: stream(0, *purpose))
    return ClipImageQuality().compute(evidence)


class TestMetric:
    def test_value_and_error_are_those_of_a_mean(self) -> None:
        quality = torch.rand(40, generator=stream(0, "quality"))
        found = measured(quality)

        assert found.value == pytest.approx(float(quality.mean()), rel=1e-6)
        assert found.stderr == pytest.approx(float(quality.std()) / math.sqrt(40), rel=1e-6)
        assert found.num_samples == 40

    def test_replicates_spread_as_the_error_says(self) -> None:
        found = measured(torch.rand(200, generator=stream(0, "quality")))

        replicates = torch.tensor(found.replicates)
        assert len(replicates) == 100
        assert float(replicates.mean()) == pytest.approx(found.value, abs=4 * found.stderr / 10)
        assert float(replicates.std()) == pytest.approx(found.stderr, rel=0.25)

    def test_equal_images_have_no_error(self) -> None:
        assert measured(torch.full((5,), 0.25)).stderr == 0.0

    def test_a_sample_that_is_not_finite_is_not_left_out(self) -> None:
        found = measured(torch.tensor([0.5, math.nan, 0.7]))
        assert math.isnan(found.value)
        assert math.isnan(found.stderr)
        assert found.replicates == ()

    def test_one_image_has_no_error(self) -> None:
        found = measured(torch.tensor([0.75]))
        assert found.value == 0.75
        assert math.isnan(found.stderr)
