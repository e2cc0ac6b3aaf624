"""Certificates of other kinds of studies: images unlearned one at a time; prompts, and an image that is a secret."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hiding import files_with, forms_of_picture, forms_of_text
from hushed_study import ASSETS, HUSHED, PROMPTS
from PIL import Image
from real_study import SISS, run_real_study

from analysis.certificate import main
from analysis.certificates.certifying import order_of
from analysis.certificates.document import read
from analysis.export import main as export_main
from analysis.load import load_study
from analysis.member import find_member

pytestmark = pytest.mark.filterwarnings("ignore")


def certificate_of(study: Path, *words: str) -> Path:
    assert main([study.name, *words, "--seed", "1", "--storage-path", str(study.parent), "--quiet"]) == 0
    return max((study / "certificates").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def separate(tiny_study_file: Path) -> Path:
    """A study that unlearns the checkerboard and its negative, each by itself, and may name neither."""
    folder = tiny_study_file.parent
    negative = folder / "hidden_negative.png"
    Image.fromarray(255 - np.asarray(Image.open(folder / "forget.png"))).save(negative)
    flags = ["--name", "separate", "--forget", str(folder / "forget.png"), str(negative), "--forget-separately", "true"]
    flags += ["--rungs", "2", "--num-trials", "1", "--log-forget-images", "false"]
    return run_real_study(tiny_study_file, *flags, trials=[SISS])


def test_every_image_has_a_section_and_a_verdict_of_its_own(separate: Path) -> None:
    content = read(certificate_of(separate, "--trial", "0", "--num-unseen", "4")).content
    assert len(content["parts"]) == len(content["asked"]) == len(content["models"]["unlearned"]) == 2
    first, second = content["parts"]
    assert first["images"] != second["images"]
    weights = {entry["weights_sha256"] for entry in content["models"]["unlearned"]}
    assert len(weights) == 2
    assert first["metrics"]["untouched"]["fid"] == second["metrics"]["untouched"]["fid"], "one model, one set of images"
    unseen = [part["membership"]["statistics"]["nll"]["untouched"]["unseen"] for part in content["parts"]]
    assert unseen[0] == unseen[1]
    own = [part["membership"]["statistics"]["nll"]["untouched"]["forget"] for part in content["parts"]]
    assert own[0] != own[1]
    assert len(own[0]) == 1


def test_one_of_them_can_be_asked_for_and_is_verified(separate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = ["--storage-path", str(separate.parent), "--quiet"]
    file = certificate_of(separate, "--trial", "0", "--num-unseen", "2", "--image", "hidden_negative")
    content = read(file).content
    [part], [image] = content["parts"], content["asked"]
    assert main(["--verify", str(file), *storage]) == 0
    study = load_study(separate)
    by_hash = order_of(study, find_member(study, "0"), image["file_sha256"][:9], 1, most_unseen=1, inputs=None)
    assert by_hash.sets == (1,)
    assert main(["separate", "--trial", "0", "--image", "other", *storage]) == 2
    assert image["file_sha256"][:12] in capsys.readouterr().err
    assert part["images"][0]["shown"] == f"image {image['pixels_sha256'][:12]}"
    for path in (file, file.with_suffix(".html")):
        assert b"hidden_negative" not in path.read_bytes(), "it may not be named"


def test_each_model_is_exported_into_a_folder_of_its_own(separate: Path, tmp_path: Path) -> None:
    words = ["separate", str(tmp_path / "home"), "--trial", "0", "--storage-path", str(separate.parent)]
    assert export_main(words) == 0
    assert {path.name for path in (tmp_path / "home").iterdir() if path.is_dir()} == {"forget", "hidden_negative"}
    assert (tmp_path / "home" / "forget" / "model_index.json").is_file()


@pytest.fixture(scope="module")
def hushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the miniature Stable Diffusion, whose image and prompts nobody may see."""
    folder = tmp_path_factory.mktemp("hushed")
    shutil.copy(ASSETS / "shirt.png", folder / "hushed_shirt.png")
    (folder / "prompts.yaml").write_text(yaml.safe_dump([{**PROMPTS, "image": "hushed_shirt.png"}]))
    own = {"forget": [str(folder / "hushed_shirt.png")], "prompts": str(folder / "prompts.yaml")}
    (folder / "study.yaml").write_text(yaml.safe_dump({**HUSHED, **own, "storage_path": str(folder / "runs")}))
    trial = {"method": "siss_no_is", "scaling_norm": 1.0, "seed": 1, "repeat": 0}
    return run_real_study(folder / "study.yaml", trials=[trial])


@pytest.fixture(scope="module")
def of_prompts(hushed: Path) -> tuple[Path, Mapping[str, Any]]:
    file = certificate_of(hushed, "--trial", "0")
    return file, read(file).content


def test_a_model_that_takes_prompts_is_judged_under_them(of_prompts: tuple[Path, Mapping[str, Any]]) -> None:
    content = of_prompts[1]
    [part] = content["parts"]
    names = {"sscd", "sscd_original", "nll", "memorised_share", "copied_share", "membership_loss", "nll_neighbours"}
    assert names <= set(part["metrics"]["unlearned"])
    assert set(part["metrics"]) == {"untouched", "unlearned"}
    assert part["membership"]["is_unseen"] is False
    assert part["membership"]["num_unseen"] == 4
    assert part["outcome"] != "kept"
    assert any("labelled as not memorised" in text for text in content["limits"])
    assert any("trained without the image was there" in text for text in content["limits"])


def test_neither_prompt_nor_image_nor_its_name_is_in_page_or_file(
    hushed: Path, of_prompts: tuple[Path, Mapping[str, Any]]
) -> None:
    assert not load_study(hushed).config.log_forget_images
    written = [of_prompts[0], of_prompts[0].with_suffix(".html")]
    forms = forms_of_picture(np.array(Image.open(ASSETS / "shirt.png").convert("RGB")))
    for text in (PROMPTS["original"], PROMPTS["modified"], "hushed_shirt"):
        forms |= {f"{text}, {how}": form for how, form in forms_of_text(text).items()}
    for path in written:
        assert not files_with(forms, path)
        assert str(hushed.parent.parent).encode() not in path.read_bytes(), "no path of this machine"


def test_it_verifies(hushed: Path, of_prompts: tuple[Path, Mapping[str, Any]]) -> None:
    assert main(["--verify", str(of_prompts[0]), "--storage-path", str(hushed.parent), "--quiet"]) == 0
