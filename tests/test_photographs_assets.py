"""The embedded photographs are those that their README describes, and a model has memorised one of them."""

import hashlib
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from metrics import measure
from metrics.encoders import load_encoder
from metrics.evidence import Evidence
from metrics.gaussian import GaussianStatistics
from metrics.photograph_encoders import PHOTOGRAPH_SHAPE, PhotographCopyDescriptor, PhotographFeatures
from metrics.subject import Fidelity
from trainable.workloads.images import load_images, to_unit_range
from trainable.workloads.unconditional import UnconditionalWorkload
from trainable.workloads.workload import WorkloadSettings
from tuning.schema import StudyConfig
from tuning.studyfile import read_mapping

ROOT = Path(__file__).parents[1]
PHOTOGRAPHS = ROOT / "assets" / "photographs"
MEBIBYTE = 2**20


def load(location: Path) -> Tensor:
    return load_images(location, channels=PHOTOGRAPH_SHAPE[0], size=PHOTOGRAPH_SHAPE[1:])


def unit(location: Path) -> Tensor:
    return to_unit_range(load(location))


@cache
def study() -> StudyConfig:
    return StudyConfig.model_validate(read_mapping(ROOT / "studies" / "photographs.yaml"))


@cache
def workload() -> UnconditionalWorkload:
    """The workload that the study describes."""
    paths = {name: str(ROOT / getattr(study(), name)) for name in ("model", "retain", "descriptor", "features")}
    return UnconditionalWorkload(
        WorkloadSettings(**paths, forget=tuple(str(ROOT / path) for path in study().forget)), torch.device("cpu")
    )


def test_readme_lists_every_file_with_its_size_and_hash() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", (PHOTOGRAPHS / "README.md").read_text(), re.M
    )
    listed = {name: (int(size.replace(",", "")), digest) for name, size, digest in rows}
    found = {
        str(path.relative_to(PHOTOGRAPHS.parent)): (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in PHOTOGRAPHS.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert listed == found


def test_photographs_stay_small() -> None:
    assert sum(path.stat().st_size for path in PHOTOGRAPHS.rglob("*") if path.is_file()) <= 4 * MEBIBYTE


def test_no_image_is_in_two_places() -> None:
    groups = [load(PHOTOGRAPHS / name) for name in ("retain", "forget.png", "unseen.npz")]
    assert [len(images) for images in groups] == [125, 1, 21]
    assert len({image.numpy().tobytes() for image in torch.cat(groups)}) == 147


def test_images_are_named_after_photograph_tiling_and_place() -> None:
    names = [path.stem.split("-") for path in (PHOTOGRAPHS / "retain").glob("*.png")]
    assert all(int(place) < int(tiling) ** 2 for _, tiling, place in names)
    assert len({photograph for photograph, _, _ in names}) == 9


def test_the_pipeline_predicts_noise_in_float32() -> None:
    denoiser = workload().load(str(PHOTOGRAPHS / "base"))
    assert denoiser.schedule.thresholding
    assert {parameter.dtype for parameter in denoiser.network.parameters()} == {torch.float32}
    photographs = unit(PHOTOGRAPHS / "retain")[::10]
    timesteps = torch.full((len(photographs),), 900)
    noise = torch.randn(photographs.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        predicted = denoiser(denoiser.schedule.add_noise(photographs, noise, timesteps), timesteps)
    assert (predicted - noise).square().mean() < 0.05


def test_the_model_has_memorised_the_image() -> None:
    """Restored from half of its signal, and far more likely than what the model never saw."""
    fidelity = Fidelity(**{**study().trial_fidelity, "num_denoisings": 8, "num_probes": 2, "num_images": 1})
    model, subject = workload().load(str(PHOTOGRAPHS / "base")), workload().subject(workload().prepare())
    found = measure(["sscd", "nll"], Evidence(model, subject, fidelity, seed=1))
    assert found["sscd"].value > 0.8
    unseen = replace(subject, forget=unit(PHOTOGRAPHS / "unseen.npz"))
    elsewhere = Evidence(model, unseen, replace(fidelity, num_probes=1), seed=1).forget_likelihood.bits_per_dim
    assert elsewhere.mean() > found["nll"].value + 1.0


def test_encoders_are_those_of_photographs() -> None:
    descriptor, features = (load_encoder(ROOT / str(path)) for path in (study().descriptor, study().features))
    assert isinstance(descriptor, PhotographCopyDescriptor)
    assert isinstance(features, PhotographFeatures)
    photographs = unit(PHOTOGRAPHS / "unseen.npz")
    torch.testing.assert_close(descriptor(photographs).norm(dim=1), torch.ones(len(photographs)))
    assert features(photographs).shape == (len(photographs), PhotographFeatures.num_features)
    assert {workload().encoders.labels[name] for name in ("sscd", "fid")} == {
        "SSCD (photograph-trained copy descriptor)",
        "FID (photograph features)",
    }


def test_descriptor_knows_the_image_and_no_other() -> None:
    descriptor = load_encoder(ROOT / str(study().descriptor))
    cat, retain, unseen = (unit(PHOTOGRAPHS / name) for name in ("forget.png", "retain", "unseen.npz"))
    noise = torch.randn(32, *PHOTOGRAPH_SHAPE, generator=torch.Generator().manual_seed(0))
    target = descriptor(cat)[0]
    others = descriptor(torch.cat((retain, retain.flip(-1), unseen))) @ target
    assert (descriptor(cat + 0.1 * noise) @ target).min() > 0.9
    assert others.max() < 0.9
    assert others.mean() < 0.3


def test_distance_rises_with_damage() -> None:
    features, retain = load_encoder(ROOT / str(study().features)), unit(PHOTOGRAPHS / "retain")
    noise = torch.randn(retain.shape, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(retain, (1,) * 4, mode="replicate"), 3, stride=1)
    real = GaussianStatistics.of(features(retain))

    def distance(images: Tensor) -> float:
        return GaussianStatistics.of(features(images)).distance(real)

    mirrored = distance(retain.flip(-1))
    assert mirrored < distance(retain + 0.1 * noise) < distance(retain + 0.3 * noise)
    assert mirrored < distance(smooth)


def test_forget_image_is_a_picture_of_the_models_size() -> None:
    with Image.open(PHOTOGRAPHS / "forget.png") as image:
        assert (image.mode, image.size) == ("RGB", PHOTOGRAPH_SHAPE[1:])
