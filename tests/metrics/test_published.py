"""Published networks are loaded from their own file formats, and see images as their authors' code does."""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from diffusion.rng import stream
from metrics.encoder_files import PUBLISHED, features_of, labelled, open_encoder, open_encoders, torch_checkpoints
from metrics.encoders import DigitClassifier, save_encoder
from metrics.gaussian import GaussianStatistics
from metrics.inception_score import inception_score
from metrics.published import MAX_ROWS, InceptionV3, TorchScriptDescriptor
from metrics.testing_networks import write_descriptor, write_inception

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network must not be downloaded")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", refuse)


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    write_inception(path)
    return path


@pytest.fixture(scope="module")
def inception(inception_file: Path) -> InceptionV3:
    network = open_encoder(inception_file)
    assert isinstance(network, InceptionV3)
    return network


def pictures(count: int, height: int, width: int, channels: int = 3, detail: int = 5) -> list[Image.Image]:
    """Random pictures, 8 bits a channel, smooth but for their ``detail``."""
    noise = torch.rand(count, channels, detail, detail + 1, generator=stream(0, "pictures"))
    smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)
    arrays = (smooth * 255).byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(array if channels == 3 else array[..., 0]) for array in arrays]


def to_images(files: list[Image.Image]) -> Tensor:
    """As workloads read them: (B, C, H, W) in [-1, 1]."""
    arrays = [np.asarray(file).reshape(file.height, file.width, -1) for file in files]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


class TestTorchScript:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "sscd_tiny.torchscript.pt"

    @pytest.mark.parametrize(
        ("size", "detail"), [((288, 288), 5), ((256, 256), 5), ((64, 96), 5), ((600, 700), 300)], ids=str
    )
    def test_images_are_seen_as_through_the_authors_transforms(
        self, file: Path, size: tuple[int, int], detail: int
    ) -> None:
        network, files = write_descriptor(file), pictures(3, *size, detail=detail)
        small_288 = transforms.Compose(
            [
                transforms.Resize(288),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )
        with torch.no_grad():
            expected = nn.functional.normalize(network(torch.stack([small_288(file) for file in files])))
            found = open_encoder(file)(to_images(files))

        assert found.shape == (3, 7)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
        # Pictures are resized in 8 bits, tensors are not.
        torch.testing.assert_close(found, expected, atol=2e-3 if size != (288, 288) else 1e-6, rtol=0)

    def test_it_is_frozen_and_named_after_its_file(self, file: Path) -> None:
        write_descriptor(file)
        encoder = open_encoder(file)

        assert isinstance(encoder, TorchScriptDescriptor)
        assert not encoder.training
        assert not any(parameter.requires_grad for parameter in encoder.parameters())
        assert labelled("SSCD", encoder) == "SSCD (sscd_tiny)"

    def test_grey_is_repeated_and_rows_do_not_depend_on_their_batch(self, file: Path) -> None:
        write_descriptor(file)
        encoder, grey = open_encoder(file), to_images(pictures(MAX_ROWS + 3, 32, 32, channels=1))

        together = encoder(grey)
        torch.testing.assert_close(together, encoder(grey.expand(-1, 3, -1, -1)))
        torch.testing.assert_close(together[-2:], encoder(grey[-2:]), atol=1e-5, rtol=0)

    def test_what_lies_outside_is_clipped_and_what_is_not_finite_is_nan(self, file: Path) -> None:
        write_descriptor(file)
        encoder, images = open_encoder(file), to_images(pictures(4, 32, 32))
        images[0, 0, 0, 0], images[1, 2, 3, 4], images[2, 0, :4] = math.nan, math.inf, 1.5

        found = encoder(images)
        assert found[:2].isnan().all()
        assert found[2:].isfinite().all()
        torch.testing.assert_close(found[2:], encoder(images[2:].clamp(-1, 1)))

    def test_images_of_other_channels_are_refused(self, file: Path) -> None:
        write_descriptor(file)
        with pytest.raises(ValueError, match=r"\(B, 3, H, W\), but got \(2, 4, 8, 8\)"):
            open_encoder(file)(torch.zeros(2, 4, 8, 8))

    @pytest.mark.parametrize("content", [b"", b"no archive", None])
    def test_a_file_that_is_none_is_refused(self, file: Path, content: bytes | None) -> None:
        write_descriptor(file)
        file.write_bytes(file.read_bytes()[:-100] if content is None else content)
        with pytest.raises(ValueError, match=r"must be a TorchScript file, but .*sscd_tiny.* cannot be read"):
            open_encoder(file)


class TestInception:
    def test_features_and_logits_are_those_of_torch_fidelity(
        self, inception: InceptionV3, inception_file: Path
    ) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        files = pictures(3, 40, 56)
        theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(inception_file))
        expected = theirs(torch.stack([transforms.PILToTensor()(file) for file in files]))

        features, logits = inception.features(to_images(files)), inception(to_images(files))
        assert features.shape == (3, 2048)
        assert logits.shape == (3, 1008)
        assert features.std() > 0.01
        torch.testing.assert_close(features, expected[0])
        torch.testing.assert_close(logits, expected[1])
        assert features_of(inception) == inception.features

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_scores_are_those_of_torchmetrics_on_the_same_network(
        self, inception: InceptionV3, inception_file: Path
    ) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
        from torchmetrics.image.inception import InceptionScore

        def network(features: str) -> nn.Module:
            return NoTrainInceptionV3("inception-v3-compat", [features], str(inception_file), antialias=False)

        files = pictures(6, 24, 24)
        images, in_bytes = to_images(files), torch.stack([transforms.PILToTensor()(file) for file in files])
        with torch.random.fork_rng():
            score = InceptionScore(feature=network("logits_unbiased"), splits=1)
            score.update(in_bytes)
            expected, _ = score.compute()
        assert float(inception_score(inception(images))) == pytest.approx(float(expected), rel=1e-4)

        features = inception.features(images)
        distance = FrechetInceptionDistance(feature=_FirstFeatures(features))
        distance.update(torch.arange(3), real=True)
        distance.update(torch.arange(3, 6), real=False)
        ours = GaussianStatistics.of(features[3:, :8]).distance(GaussianStatistics.of(features[:3, :8]))
        assert ours == pytest.approx(float(distance.compute()), rel=1e-3)

    def test_an_image_that_is_not_finite_is_nan_and_not_black(self, inception: InceptionV3) -> None:
        images = to_images(pictures(2, 24, 24))
        images[0, 0, 0, 0] = math.nan

        for encode in (inception, inception.features):
            assert encode(images)[0].isnan().all()
            assert encode(images)[1].isfinite().all()

    def test_only_the_published_weights_give_the_plain_name(
        self, inception: InceptionV3, inception_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert labelled("FID", inception) == "FID (Inception-v3 of random.pth)"
        sha256 = hashlib.sha256(inception_file.read_bytes()).hexdigest()
        monkeypatch.setitem(PUBLISHED, "inception", replace(PUBLISHED["inception"], sha256=sha256))
        opened = open_encoder(inception_file)
        assert labelled("FID", opened) == "FID"
        assert labelled("Inception Score", opened) == "Inception Score"

    def test_a_pickle_that_runs_code_is_refused_unread(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(tmp_path / "was run"),)

        torch.save({"fc.weight": Trap()}, tmp_path / "trap.pth")
        (tmp_path / "plain.pth").write_bytes(pickle.dumps(Trap()))
        for name in ("trap.pth", "plain.pth"):
            with pytest.raises(ValueError, match=r"reads with weights_only, but .* is not"):
                open_encoder(tmp_path / name)
        assert not (tmp_path / "was run").exists()

    @pytest.mark.parametrize("state", [{"fc.weight": torch.zeros(2)}, [torch.zeros(2)], torch.zeros(2)], ids=type)
    @pytest.mark.parametrize("as_zip", [True, False])
    def test_weights_of_another_network_are_refused(self, tmp_path: Path, state: object, as_zip: bool) -> None:
        torch.save(state, tmp_path / "other.pth", _use_new_zipfile_serialization=as_zip)
        with pytest.raises(ValueError, match=r"must be those of torch-fidelity's Inception-v3, but do not fit"):
            open_encoder(tmp_path / "other.pth")


class _FirstFeatures(nn.Module):
    """What torchmetrics takes for a network: 8 of given features, whose root is quick, by the rows' numbers."""

    num_features = 8

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, rows: Tensor) -> Tensor:
        return self.features[rows, :8]


class TestOpening:
    @pytest.mark.parametrize("name", PUBLISHED)
    def test_a_published_file_that_is_missing_is_named_with_its_place_and_source(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr("metrics.encoder_files.FETCHED", tmp_path / "fetched")
        for location in (name, PUBLISHED[name].path):
            with pytest.raises(FileNotFoundError) as error:
                open_encoder(location)
            place = tmp_path / "fetched" / name / PUBLISHED[name].filename
            for part in (str(place), PUBLISHED[name].url, f"python scripts/fetch_assets.py {name}"):
                assert part in str(error.value)

    def test_a_published_file_is_found_where_it_was_fetched_to_and_in_torchs_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr("metrics.encoder_files.FETCHED", tmp_path / "fetched")
        published = PUBLISHED["sscd"]
        cached, fetched = torch_checkpoints() / published.filename, tmp_path / "fetched" / "sscd" / published.filename
        for place in (cached, fetched):
            place.parent.mkdir(parents=True)
            write_descriptor(place)
            assert published.path == place
            assert labelled("SSCD", open_encoder("sscd")) == "SSCD (sscd_disc_mixup)"

    @pytest.mark.parametrize("variables", [{}, {"XDG_CACHE_HOME": "/x"}, {"TORCH_HOME": "~/t", "XDG_CACHE_HOME": "/x"}])
    def test_torchs_cache_is_where_torch_has_it(
        self, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert torch_checkpoints() == Path(torch.hub.get_dir()) / "checkpoints"

    def test_the_url_is_that_of_torch_fidelity(self) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        assert PUBLISHED["inception"].url == URL_INCEPTION_V3

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_fetching_brings_what_is_looked_for(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
        manifest = pytest.importorskip("scripts.fetch_lib.manifest")
        (asset,) = manifest.ASSETS[name]

        published = PUBLISHED[name]
        assert (asset.url, asset.sha256) == (published.url, published.sha256)
        assert asset.path == f"{name}/{published.filename}"

    def test_a_file_that_several_fields_name_is_opened_once(self, tmp_path: Path) -> None:
        save_encoder(DigitClassifier(), tmp_path / "digits.safetensors")
        file = str(tmp_path / "digits.safetensors")
        opened = open_encoders({"descriptor": None, "features": file, "classifier": file})

        assert list(opened) == ["features", "classifier"]
        assert opened["features"] is opened["classifier"]
        assert features_of(opened["features"])(torch.zeros(2, 1, 28, 28)).shape == (2, DigitClassifier.num_features)
        assert labelled("FID", opened["features"]) == "FID (digit features)"
