"""What a forger does who hashes anew, and what happens to honest certificates: each is told for what it is."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from made_certificate import HASH, concluded_anew, made_content

from analysis.certificate import main, write
from analysis.certificates.document import Certificate, plain, read
from analysis.certificates.files_verifying import study_checks
from analysis.certificates.page import certificate_page
from analysis.certificates.page_verifying import page_check
from analysis.certificates.values_verifying import values_checks
from analysis.certificates.verifying import conclusions_check

Content = dict[str, Any]
KNOWN, LIKE_OTHERS = 3.0, 5.305


@pytest.fixture(scope="module")
def truth() -> Content:
    """A model that knows the image by its denoising loss alone."""
    content = made_content(LIKE_OTHERS)
    content["parts"][0]["membership"]["statistics"]["denoising_loss"]["unlearned"]["forget"] = [KNOWN]
    return concluded_anew(content)


def without_statistic(statistics: Content) -> None:
    del statistics["denoising_loss"]


def without_model(statistics: Content) -> None:
    for models in statistics.values():
        del models["untouched"]


def without_kind(statistics: Content) -> None:
    for models in statistics.values():
        for of in models.values():
            of["retain"] = []


def with_another(statistics: Content) -> None:
    statistics["invented"] = copy.deepcopy(statistics["nll"])


def without_images(statistics: Content) -> None:
    for models in statistics.values():
        for of in models.values():
            of["unseen"] = of["unseen"][:50]


@pytest.mark.parametrize("forge", [without_statistic, without_model, without_kind, with_another, without_images])
def test_evidence_that_was_left_out_or_put_in_is_missed(truth: Content, forge: Callable[[Content], None]) -> None:
    """Rules and verdict follow from what is left; still it is seen that something is gone, with models and without."""
    assert truth["verdict"].startswith("Not forgotten")
    assert all(check.holds for check in values_checks(truth, truth["parts"]))
    content = copy.deepcopy(truth)
    forge(content["parts"][0]["membership"]["statistics"])
    concluded_anew(content)
    if forge is without_statistic:
        assert content["outcome"] != "broken"
    assert conclusions_check(truth).holds
    assert conclusions_check(content).holds is (forge is without_kind)
    found = [check.what for check in values_checks(content, truth["parts"]) if not check.holds]
    assert found == ["statistics of tshirt"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_equal_to_its_like(truth: Content, value: float) -> None:
    content = copy.deepcopy(truth)
    part = content["parts"][0]
    part["membership"]["statistics"]["nll"]["unlearned"]["forget"] = [value]
    part["metrics"]["unlearned"]["nll"]["value"] = value
    for form in (content, plain(content)):
        assert all(check.holds for check in values_checks(form, form["parts"]))
        assert [check.holds for check in values_checks(form, truth["parts"])] == [False, False, True]
        assert [check.holds for check in values_checks(truth, form["parts"])] == [False, False, True]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write(made_content(9.0), tmp_path / "certificate").file


def run(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["--verify", str(file), "--storage-path", str(file.parent), "--quiet"])
    return code, capsys.readouterr().out


def with_forged_page(file: Path, content: Content) -> None:
    """Another verdict on the page, and its hash in the file."""
    text = certificate_page(content).replace("A rule is broken", "No trace found")
    page = file.with_suffix(".html")
    page.write_text(text, encoding="utf-8")
    named = {"name": page.name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    file.write_text(Certificate(content, named).render(), encoding="utf-8")


def test_a_page_that_says_something_else_does_not_verify_though_its_hash_is_the_file_s(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read(written)
    code, said = run(written, capsys)
    assert code == 0
    assert "✓ page: certificate.html is as it was written, and says what the file says" in said
    assert f"seal {before.seal}" in said
    with_forged_page(written, dict(before.content))
    code, said = run(written, capsys)
    assert code == 1
    assert "✗ page: certificate.html is not what its content makes" in said
    assert read(written).content == before.content
    assert read(written).seal != before.seal, "the seal that was published binds the page"


def test_a_page_of_another_version_is_not_held_for_a_forgery_nor_for_sound(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = copy.deepcopy(dict(read(written).content))
    content["made"]["page"]["matplotlib"] = "3.0.0"
    with_forged_page(written, content)
    code, said = run(written, capsys)
    assert code == 0
    assert "– page: certificate.html was made by another version" in said
    assert f"matplotlib 3.0.0 → {matplotlib.__version__}" in said
    write(content, written.with_suffix(""))
    assert "✓ page" in run(written, capsys)[1], "one that comes out the same is sound whatever made it"


def test_what_somebody_likes_of_drawings_does_not_change_the_page(written: Path) -> None:
    with matplotlib.rc_context({"font.family": "serif", "axes.facecolor": "black"}):
        assert page_check(read(written), written).holds


def test_a_file_that_names_no_page_says_so(written: Path) -> None:
    content = read(written).content
    for page in ({}, {"name": "", "sha256": HASH}):
        found = page_check(Certificate(content, page), written)
        assert (found.holds, found.text) == (None, "the file names no page")
    written.with_suffix(".html").unlink()
    assert page_check(read(written), written).text == "certificate.html is not beside the file"


def set_at(content: Content, path: str, value: Any) -> None:
    *names, last = path.split(".")
    at: Any = content
    for name in names:
        at = at[int(name)] if isinstance(at, list) else at[name]
    at[int(last) if isinstance(at, list) else last] = value


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("limits", [], "limits are not"),
        ("limits.0", "It was checked that no model saw the unseen images.", "limits are not"),
        ("asked.0.pixels_sha256", "f" * 64, "the images of the parts"),
        ("parts.0.images.0.pixels_sha256", "f" * 64, "the images of the parts"),
        ("asked.0.shown", "another", "the images of the parts"),
        ("asked", [], "the images of the parts"),
        ("seeds.rule", "chosen with care", "seeds.rule"),
        ("parts.0.membership.num_unseen", 600, "num_unseen"),
        ("parts.0.metrics.unlearned.nll.low", 1.2, "an interval"),
        ("models.another", {"weights_sha256": HASH}, "the models that were measured"),
        ("remark", "all is well", "not laid out"),
    ],
)
def test_what_follows_from_nothing_is_noticed_without_the_study(path: str, value: Any, fault: str) -> None:
    content = made_content(9.0)
    assert conclusions_check(content).holds
    set_at(content, path, value)
    found = conclusions_check(content)
    assert found.holds is False
    assert fault in found.text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("parts.0.membership.statistics.nll.unlearned.forget", [10**400]),
        ("parts.0.metrics.unlearned.fid.value", 10**400),
        ("parts.0.metrics.unlearned.regeneration_rate.num", "inf"),
        ("chosen.step", 10**400),
        ("seeds.nonce", -1),
        ("parts.0.outcome", "fine"),
    ],
)
def test_numbers_that_nothing_can_measure_end_in_words(
    written: Path, capsys: pytest.CaptureFixture[str], path: str, value: Any
) -> None:
    content = copy.deepcopy(dict(read(written).content))
    set_at(content, path, value)
    written.write_text(Certificate(content, {}).render(), encoding="utf-8")
    code, said = run(written, capsys)
    assert code == 1
    assert "✗ conclusions" in said


def test_words_of_another_version_are_said_to_be_so(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = copy.deepcopy(dict(read(written).content))
    content["made"]["versions"]["project"] = "0.0.1"
    content["limits"] = ["Worded otherwise."]
    written.write_text(Certificate(content, {}).render(), encoding="utf-8")
    code, said = run(written, capsys)
    assert code == 1
    assert "– version: was made by another version (project 0.0.1 → " in said


def test_a_front_that_went_on_makes_no_honest_certificate_wrong() -> None:
    content = made_content(9.0)
    now = {"study": content["study"], "chosen": {**content["chosen"], "on_front": False, "why": "named"}}
    found = {check.what: check for check in study_checks(content, now)}
    assert found["chosen"].holds
    assert found["front"].holds is None
    assert "is none now" in found["front"].text
    assert [check.what for check in study_checks(content, {**now, "chosen": content["chosen"]})] == ["study", "chosen"]
    now["chosen"]["step"] = 50
    assert [check.what for check in study_checks(content, now) if check.holds is False] == ["chosen"]
