"""The embedded encoders do what they stand in for, and a file that is none says what is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from metrics.architectures import ENCODERS
from metrics.encoders import CopyDescriptor, DigitClassifier, Encoder, load_encoder, save_encoder

ASSETS = Path(__file__).parents[2] / "assets" / "mnist_tshirt"


def to_tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / 127.5 - 1.0)[:, None]


@pytest.fixture(scope="module")
def classifier() -> DigitClassifier:
    encoder = load_encoder(ASSETS / "digit_classifier.safetensors")
    assert isinstance(encoder, DigitClassifier)
    return encoder


@pytest.fixture(scope="module")
def descriptor() -> CopyDescriptor:
    encoder = load_encoder(ASSETS / "copy_descriptor.safetensors")
    assert isinstance(encoder, CopyDescriptor)
    return encoder


@pytest.fixture(scope="module")
def unseen() -> dict[str, Tensor]:
    """Digits and T-shirts of the test splits, which no embedded network was trained on."""
    with np.load(ASSETS / "unseen.npz") as arrays:
        labels = torch.from_numpy(arrays["digit_labels"].astype(np.int64))
        return {"digits": to_tensor(arrays["digits"]), "labels": labels, "tshirts": to_tensor(arrays["images"])}


@pytest.fixture(scope="module")
def tshirt() -> Tensor:
    image = pytest.importorskip("PIL.Image")
    return to_tensor(np.asarray(image.open(ASSETS / "tshirt.png"))[None])


def altered_copy(images: Tensor, seed: int) -> Tensor:
    """Shifted by up to two pixels, blurred, paler, noisy: written apart from what the descriptor was trained on."""
    generator = torch.Generator().manual_seed(seed)
    shifts = torch.randint(0, 5, (len(images), 2), generator=generator).tolist()
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), value=-1.0)
    moved = torch.stack([image[:, y : y + 28, x : x + 28] for image, (y, x) in zip(padded, shifts, strict=True)])
    blurred = torch.nn.functional.avg_pool2d(moved, 3, stride=1, padding=1, count_include_pad=False)
    return 0.8 * ((moved + blurred) / 2 + 1) - 1 + 0.2 * torch.randn(images.shape, generator=generator)


def copy_auc(descriptor: CopyDescriptor, images: Tensor) -> float:
    """Chance of an altered copy's cosine being above that of another image's: the area under the ROC curve."""
    cosines = descriptor(images) @ descriptor(altered_copy(images, seed=3)).T
    same = torch.eye(len(images), dtype=torch.bool)
    others = cosines[~same].sort().values
    return float((torch.searchsorted(others, cosines[same]) / len(others)).mean())


def test_embedded_encoders_are_frozen_and_say_what_they_stand_in_for(
    classifier: DigitClassifier, descriptor: CopyDescriptor
) -> None:
    for encoder in (classifier, descriptor):
        assert not encoder.training
        assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert classifier.label == "digit features"
    assert descriptor.label == "digit-trained copy descriptor"


def test_shapes(classifier: DigitClassifier, descriptor: CopyDescriptor, unseen: dict[str, Tensor]) -> None:
    images = unseen["digits"][:5]
    assert classifier(images).shape == (5, 10)
    assert classifier.features(images).shape == (5, DigitClassifier.num_features)
    assert descriptor(images).shape == (5, CopyDescriptor.num_features)
    torch.testing.assert_close(descriptor(images).norm(dim=1), torch.ones(5))


def test_classifier_reads_unseen_digits(classifier: DigitClassifier, unseen: dict[str, Tensor]) -> None:
    assert (classifier(unseen["digits"]).argmax(dim=1) == unseen["labels"]).double().mean() >= 0.985


def test_descriptor_tells_copies_from_other_images(descriptor: CopyDescriptor, unseen: dict[str, Tensor]) -> None:
    everything = torch.cat((unseen["digits"], unseen["tshirts"]))
    assert copy_auc(descriptor, everything) >= 0.99


def test_descriptor_tells_tshirts_apart(descriptor: CopyDescriptor, unseen: dict[str, Tensor]) -> None:
    """The hard case: all other images are of the same kind."""
    assert copy_auc(descriptor, unseen["tshirts"]) >= 0.99


def test_descriptor_knows_the_tshirt_and_no_other(
    descriptor: CopyDescriptor, unseen: dict[str, Tensor], tshirt: Tensor
) -> None:
    noise = torch.randn(32, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    itself = descriptor(tshirt)[0]
    copies = descriptor(tshirt + 0.1 * noise) @ itself
    others = descriptor(unseen["tshirts"]) @ itself
    assert copies.min() > 0.9
    assert others.max() < copies.min()
    assert others.mean() < 0.5
    assert (descriptor(unseen["digits"]) @ itself).mean() < 0.2


@pytest.mark.parametrize("kind", ENCODERS.values(), ids=list(ENCODERS))
def test_save_and_load_give_the_same_network(kind: type[Encoder], tmp_path: Path) -> None:
    saved = kind().eval()
    save_encoder(saved, tmp_path / "encoder.safetensors")
    images = torch.randn(3, *kind.image_shape)
    torch.testing.assert_close(load_encoder(tmp_path / "encoder.safetensors")(images), saved(images))


@pytest.mark.parametrize("kind", ENCODERS.values(), ids=list(ENCODERS))
def test_images_of_another_shape_are_refused(kind: type[Encoder]) -> None:
    channels, height, width = kind.image_shape
    expected = rf"must be \(B, {channels}, {height}, {width}\), but got"
    for shape in [(2, channels + 1, height, width), (2, channels, height + 4, width + 4), (height, width)]:
        with pytest.raises(ValueError, match=expected):
            kind()(torch.zeros(shape))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist.*build_assets"):
        load_encoder(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", b"\xff" * 64])
def test_corrupt_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corrupt.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"must be a safetensors file, but .* cannot be read"):
        load_encoder(path)


def test_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "truncated.safetensors"
    path.write_bytes((ASSETS / "digit_classifier.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot be read"):
        load_encoder(path)


@pytest.mark.parametrize("metadata", [None, {"architecture": "inception"}])
def test_unknown_architecture(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=r"must be one of digit_classifier, copy_descriptor, .*but is"):
        load_encoder(tmp_path / "other.safetensors")


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    state = DigitClassifier().state_dict()
    save_file(state, tmp_path / "mixed.safetensors", metadata={"architecture": "copy_descriptor"})
    with pytest.raises(ValueError, match="must fit the architecture 'copy_descriptor', but do not"):
        load_encoder(tmp_path / "mixed.safetensors")


def test_unregistered_encoder_is_not_saved(tmp_path: Path) -> None:
    class Other(DigitClassifier):
        architecture = "other"

    with pytest.raises(ValueError, match="must be one of"):
        save_encoder(Other(), tmp_path / "other.safetensors")
