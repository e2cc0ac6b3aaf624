"""Which pictures a page shows side by side, and which at all."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synthetic_study import make_reports

from analysis.load import load_study
from analysis.report import write_report
from analysis.samples import BUDGET, Pair, embedded, gallery, pairs, without_picture

StudyMaker = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_trees")


def data_of(html: str) -> dict[str, Any]:
    [text] = re.findall(r'<script type="application/json" id="study-data">(.*?)</script>', html)
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture
def root(make_study: StudyMaker) -> Path:
    return make_study(make_reports(10), images=True, log_forget_images=True)


class TestPairs:
    def test_a_pair_is_from_equal_noise(self, root: Path) -> None:
        study = load_study(root)
        of, member = pairs(study), study.front.iloc[0]
        key = f"{member['trial_id']}-{member['step']}"
        assert of[key] == Pair("untouched_search-samples", f"{key}-samples")
        assert of[f"member:{key}"] == Pair("untouched-samples", f"{key}-final-samples")
        assert of["retrained"] == Pair("untouched-samples", "retrained-samples")
        (root / "images" / f"{key}-final-samples.png").unlink()
        assert pairs(load_study(root))[f"member:{key}"] == of[key], "what the trial drew, beside the same noise"

    def test_without_the_untouched_model_from_that_noise_nothing_stands_beside(self, root: Path) -> None:
        (root / "images" / "untouched_search-samples.png").unlink()
        assert pairs(load_study(root))["00000-10"] == Pair(None, "00000-10-samples")

    def test_without_leave_the_untouched_model_is_on_no_page(self, make_study: StudyMaker) -> None:
        root = make_study(make_reports(10), images=True)
        (root / "images" / "00000-10-denoisings.png").write_bytes(
            (root / "images" / "00000-10-samples.png").read_bytes()
        )
        study = load_study(root)
        assert {pair.untouched for pair in pairs(study).values()} == {None}
        assert not [name for name in gallery(study) if "untouched" in name or "denoisings" in name]
        html = write_report(root).read_text(encoding="utf-8")
        data = data_of(html)
        names = {*data["pictures"], *re.findall(r'data-picture="(.*?)"', html)}
        assert "00000-10-samples" in names
        assert not [name for name in names if "untouched" in name or "denoisings" in name]
        assert "the study does not draw forget images" in html

    def test_the_pictures_of_a_mean_are_those_of_its_first_run(self, make_study: StudyMaker) -> None:
        of = pairs(load_study(make_study(make_reports(5), images=True)))
        assert of["mean:00000-10"] == of["00000-10"]


class TestEmbedding:
    def test_each_picture_is_on_the_page_once_and_as_it_was_drawn(self, root: Path) -> None:
        html = write_report(root).read_text(encoding="utf-8")
        sources = re.findall(r'src="(data:image/webp[^"]+)"', html) + list(data_of(html)["pictures"].values())
        assert len(sources) == len(set(sources)) == len(list((root / "images").glob("*-samples.png")))
        url = embedded(load_study(root), ["untouched-samples"])["untouched-samples"]
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as shown:
            assert shown.size == (12, 12), "one pixel a pixel"
            small = np.asarray(shown.convert("L")).astype(int)
        drawn = np.asarray(Image.open(root / "images" / "untouched-samples.png"))[::2, ::2].astype(int)
        assert np.abs(small - drawn).mean() < 20

    def test_the_front_and_the_best_come_first_within_the_budget(self, root: Path) -> None:
        study = load_study(root)
        of, whole = pairs(study), embedded(study, [])
        part = embedded(study, [], budget=sum(map(len, whole.values())) // 2)
        assert list(part) == list(whole)[: len(part)]
        assert sum(map(len, part.values())) <= sum(map(len, whole.values())) // 2
        finals = [f"{row.trial_id}-{row.step}-final-samples" for row in study.front.itertuples()]
        assert [name for name in whole if name.endswith("final-samples")] == finals
        assert list(whole).index(finals[-1]) < min(list(whole).index(f"{t}-10-samples") for t in ("00000", "00004"))
        names = [name.removesuffix("-samples") for name in whole if re.fullmatch(r"\d+-\d+-samples", name)]
        feasible = {f"{row.trial_id}-{row.step}": row.feasible for row in study.reports.itertuples()}
        verdicts = [feasible[name] for name in names]
        assert verdicts == sorted(verdicts, reverse=True), "what keeps the bounds before what does not"
        no_room, no_file = without_picture(study, of, part)
        assert no_room == len(study.reports) - sum(f"{key}-samples" in part for key in feasible)
        assert no_file == 0

    def test_the_page_says_how_many_have_none(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for path in (root / "images").glob("00003-*"):
            path.unlink()
        monkeypatch.setattr("analysis.samples.BUDGET", 2000)
        monkeypatch.setattr("analysis.samples.embedded.__defaults__", (2000,))
        html = write_report(root).read_text(encoding="utf-8")
        assert re.search(r"\d+ of 40 reports have their picture in images/ only", html)
        assert "4 of 40 reports have no picture in images/." in html

    def test_large_pictures_are_made_smaller(self, root: Path) -> None:
        path = root / "images" / "untouched-samples.png"
        Image.new("RGB", (2400, 1200), (200, 30, 30)).save(path)
        url = embedded(load_study(root), ["untouched-samples"])["untouched-samples"]
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as shown:
            assert shown.size == (480, 240)
        assert BUDGET < 4_000_000
