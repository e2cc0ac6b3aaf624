"""Pictures as users have them: what is converted, and what is refused with the reason, alike in check and loader."""

import numpy as np
import pytest
import torch
from PIL import Image

from trainable.workloads.image_files import PictureError, archive_images, open_picture, read_picture
from trainable.workloads.images import load_images
from tuning.checks.images import forget_problems, images_problems, size_problems

ORIENTATION = 0x0112
TALL = np.arange(6, dtype=np.uint8).reshape(3, 2) * 40
COLOURS = np.stack([TALL, TALL[::-1], 255 - TALL], axis=-1)


def loaded(path, channels=3):
    return load_images(path, channels=channels, size=(3, 2))[0].permute(1, 2, 0).numpy()


def test_grey_is_repeated_and_colours_become_grey(tmp_path):
    Image.fromarray(TALL).save(tmp_path / "grey.png")
    Image.fromarray(COLOURS).save(tmp_path / "colour.png")
    assert np.array_equal(loaded(tmp_path / "grey.png"), np.stack([TALL] * 3, axis=-1))
    luma = COLOURS @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(loaded(tmp_path / "colour.png", 1)[..., 0], luma, atol=1)


@pytest.mark.parametrize("mode", ["P", "1"])
def test_palettes_and_bits_are_looked_up(tmp_path, mode):
    picture = Image.fromarray(np.where(TALL[..., None] > 90, [0, 0, 0], [255, 255, 255]).astype(np.uint8))
    (picture.quantize(4) if mode == "P" else picture.convert("1")).save(tmp_path / "few.png")
    assert Image.open(tmp_path / "few.png").mode == mode
    assert np.array_equal(loaded(tmp_path / "few.png"), np.asarray(picture))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_an_alpha_channel_counts_only_where_something_is_transparent(tmp_path, mode):
    opaque = Image.fromarray(COLOURS).convert("RGBA") if mode == "RGBA" else Image.fromarray(TALL).convert("LA")
    if mode == "P":
        Image.fromarray(TALL).convert("P").save(tmp_path / "clear.png", transparency=int(TALL[0, 0]))
    else:
        opaque.save(tmp_path / "opaque.png")
        plain = opaque.convert("RGB")
        assert np.array_equal(loaded(tmp_path / "opaque.png"), np.asarray(plain))
        opaque.putpixel((0, 0), (*opaque.getpixel((0, 0))[:-1], 254))
        opaque.save(tmp_path / "clear.png")
    with pytest.raises(ValueError, match=r"clear\.png, which has transparent pixels; lay it on its background"):
        loaded(tmp_path / "clear.png")
    (problem,) = forget_problems((str(tmp_path / "clear.png"),))
    assert problem.value == f"{tmp_path / 'clear.png'}, which has transparent pixels"
    assert problem.remedy == "lay it on its background and save it without alpha"


@pytest.mark.parametrize(("mode", "ending"), [("I;16", "png"), ("F", "tiff"), ("CMYK", "jpg")])
def test_pixels_that_a_conversion_would_clip_or_guess_are_refused(tmp_path, mode, ending):
    picture = Image.fromarray(TALL.astype(np.uint16) * 256) if mode == "I;16" else Image.fromarray(TALL).convert(mode)
    path = tmp_path / f"deep.{ending}"
    picture.save(path)
    with pytest.raises(ValueError, match=f"whose pixels are {mode}, neither 8-bit grey nor RGB; save it as 8-bit"):
        loaded(path)
    (problem,) = forget_problems((str(path),))
    assert problem.rule == "forget must be image files"
    assert mode in problem.value
    assert "8-bit grey or RGB" in problem.remedy


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path, orientation):
    quarter = orientation in (5, 6, 7, 8)
    upright = np.kron(TALL, np.ones((8, 8), np.uint8))
    turned = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
              6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif, quality=95)
    assert Image.open(path).size == ((24, 16) if quarter else (16, 24))
    assert open_picture(path).size == (16, 24)
    read = load_images(path, channels=1, size=(24, 16))[0, 0].numpy()
    np.testing.assert_allclose(read.astype(int), upright, atol=8)


def test_the_check_measures_a_photograph_upright(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text('{"sample_size": [24, 16], "in_channels": 3}')
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (24, 16)).save(tmp_path / "photo.jpg", exif=exif)
    assert not size_problems("forget", str(tmp_path / "photo.jpg"), str(tmp_path))
    Image.new("RGB", (24, 16)).save(tmp_path / "photo.jpg")
    assert "24×16" in size_problems("forget", str(tmp_path / "photo.jpg"), str(tmp_path))[0].value


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture(tmp_path, content):
    (tmp_path / "kept").mkdir()
    path = tmp_path / "kept" / "none.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match="which is no whole image file"):
        read_picture(path, 3)
    with pytest.raises(ValueError, match=r"none\.png, which is no whole image file; check the path"):
        loaded(path)
    (problem,) = images_problems("retain", str(tmp_path / "kept"))
    assert problem.rule == "retain must hold whole image files"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3, 3, 2), (3, 3, 2, 3)])
def test_an_archive_is_read_image_by_image_as_it_is_at_once(tmp_path, order, shape):
    images = torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy()
    np.savez_compressed(tmp_path / "images.npz", images=np.array(images, order=order))
    read = np.stack(list(archive_images(tmp_path / "images.npz")))
    assert np.array_equal(read, images.reshape(3, 3, 2, -1))
