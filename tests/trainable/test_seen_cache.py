"""What was seen of a data set is kept by content: taken where all is the same, and made anew where anything is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.embedded import ASSETS
from trainable.checkpoint import load_state
from trainable.workloads.encoders import Encoders, open_all
from trainable.workloads.retained import RetainSet
from trainable.workloads.seen_cache import SeenCache
from trainable.workloads.unconditional import PreparedImages, UnconditionalWorkload
from trainable.workloads.workload import WorkloadSettings

CPU = torch.device("cpu")
SHAPE = (1, 28, 28)
#: Copies of the forget image among the retain images.
NUM_COPIES = 2


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNLEARNING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def settings(tmp_path: Path) -> WorkloadSettings:
    """The embedded model and networks, and few of its images."""
    with np.load(ASSETS / "digits.npz") as archive:
        digits = archive["images"][:60]
    tshirt = np.asarray(Image.open(ASSETS / "tshirt.png"))
    np.savez(tmp_path / "retain.npz", images=np.concatenate([digits, *[tshirt[None]] * NUM_COPIES]))
    for name in ("copy_descriptor", "digit_classifier"):
        shutil.copy(ASSETS / f"{name}.safetensors", tmp_path)
    return WorkloadSettings(
        model=str(ASSETS / "base"),
        retain=str(tmp_path / "retain.npz"),
        forget=(str(ASSETS / "tshirt.png"),),
        descriptor=str(tmp_path / "copy_descriptor.safetensors"),
        features=str(tmp_path / "digit_classifier.safetensors"),
    )


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry each time that the images are looked at."""
    counted, look = [], RetainSet._look

    def counting(self: RetainSet) -> object:
        counted.append(len(self.images))
        return look(self)

    monkeypatch.setattr(RetainSet, "_look", counting)
    return counted


def prepared(settings: WorkloadSettings) -> PreparedImages:
    found = UnconditionalWorkload(settings, CPU).prepare()
    assert isinstance(found, PreparedImages)
    return found


def assert_same(first: PreparedImages, second: PreparedImages) -> None:
    assert torch.equal(first.kept, second.kept)
    assert torch.equal(first.neighbours, second.neighbours)
    assert first.real_statistics is not None
    assert second.real_statistics is not None
    for name in ("mean", "covariance"):
        assert torch.equal(getattr(first.real_statistics, name), getattr(second.real_statistics, name))


def test_the_images_of_a_second_study_are_not_looked_at(settings: WorkloadSettings, looks: list[int]) -> None:
    first = prepared(settings)
    assert len(first.kept) == 60
    assert_same(first, prepared(settings))
    assert looks == [60 + NUM_COPIES]


def test_what_is_forgotten_is_no_part_of_it(settings: WorkloadSettings, looks: list[int], tmp_path: Path) -> None:
    """Statistics are of the images that are kept, which the forget images decide."""
    first = prepared(settings)
    with np.load(settings.retain) as archive:
        Image.fromarray(archive["images"][5]).save(tmp_path / "digit.png")
    other = prepared(replace(settings, forget=(str(tmp_path / "digit.png"),)))
    assert looks == [60 + NUM_COPIES]
    assert other.kept.tolist() == [row for row in range(60 + NUM_COPIES) if row != 5]
    assert not torch.equal(other.real_statistics.mean, first.real_statistics.mean)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: _alter_image(Path(settings.retain)),
        lambda settings: shutil.copy(settings.features, settings.descriptor),
        lambda settings: shutil.copy(settings.descriptor, settings.features),
    ],
    ids=["an image", "the descriptor", "the features"],
)
def test_another_image_or_network_is_looked_at_again(
    settings: WorkloadSettings, cache: Path, change: Callable[[WorkloadSettings], object]
) -> None:
    before = key(settings)
    change(settings)
    assert key(settings) != before
    assert SeenCache(settings.retain, SHAPE, (), CPU).place.parent == cache


def key(settings: WorkloadSettings, shape: tuple[int, int, int] = SHAPE, device: torch.device = CPU) -> str:
    return SeenCache(settings.retain, shape, (settings.descriptor, settings.features), device).place.name


def _alter_image(file: Path) -> None:
    with np.load(file) as archive:
        images = archive["images"].copy()
    images[3, 4, 5] ^= 1
    np.savez(file, images=images)


def test_what_computes_it_is_part_of_the_key(settings: WorkloadSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {key(settings), key(settings, (3, 28, 28)), key(settings, device=torch.device("cuda"))}
    monkeypatch.setattr("trainable.workloads.seen_cache.version", lambda package: "0.0")
    keys.add(key(settings))
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    keys.add(key(settings))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    keys.add(key(settings))
    monkeypatch.setattr("trainable.workloads.seen_cache._PREPROCESSING", ("metrics",))
    keys.add(key(settings))
    assert len(keys) == 7


@pytest.mark.parametrize("at", [0.02, 0.5, 0.98])
def test_a_damaged_file_is_made_anew(settings: WorkloadSettings, looks: list[int], cache: Path, at: float) -> None:
    """A digest with a bit flipped would let a copy of the forget image pass as one to keep."""
    first = prepared(settings)
    [file] = cache.glob("*/state.pt")
    content = bytearray(file.read_bytes())
    content[int(at * len(content))] ^= 1
    file.write_bytes(content)
    assert_same(first, prepared(settings))
    assert len(looks) == 2
    assert_same(first, prepared(settings))
    assert len(looks) == 2


def test_a_trial_which_is_told_what_was_prepared_does_not_read_all_images_for_it(
    settings: WorkloadSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = prepared(settings)
    monkeypatch.setattr(SeenCache, "place", None)  # would fail if it were asked for
    workload = UnconditionalWorkload(settings, CPU)
    assert len(workload.subject(known).retain)
    assert len(workload.batch(known, 0, 0, 0, 4)) == 4


def test_no_picture_is_kept(settings: WorkloadSettings, cache: Path) -> None:
    prepared(settings)
    [place] = cache.iterdir()
    count = 60 + NUM_COPIES
    sizes = {name: tuple(tensor.shape) for name, tensor in load_state(place, CPU).items()}
    assert sizes["digests"] == (count, 32)
    assert set(sizes) == {"digests", "descriptors", "features"}
    assert all(shape[0] == count and shape[1] < 28 * 28 for shape in sizes.values())


def test_without_a_place_to_keep_it_nothing_is_lost(
    settings: WorkloadSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(settings)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNLEARNING_CACHE", str(tmp_path / "file" / "below"))
    assert_same(first, prepared(settings))


def test_what_networks_of_a_subclass_see_is_not_kept(settings: WorkloadSettings, cache: Path) -> None:
    """Nothing says when they change."""

    class Own(UnconditionalWorkload):
        @cached_property
        def encoders(self) -> Encoders:
            return open_all(self.settings, self.device)

    Own(settings, CPU).prepare()
    assert not cache.exists()


def test_it_is_told_how_many_images_were_looked_at(settings: WorkloadSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainable.workloads.retained._BLOCK", 25)
    heard: list[tuple[int, int]] = []
    workload = UnconditionalWorkload(settings, CPU)
    workload.told = lambda done, total: heard.append((done, total))
    workload.prepare()
    assert heard == [(25, 62), (50, 62), (62, 62)]
    heard.clear()
    again = UnconditionalWorkload(settings, CPU)
    again.told = lambda done, total: heard.append((done, total))
    again.prepare()
    assert heard == [], "what is known is not looked at"
