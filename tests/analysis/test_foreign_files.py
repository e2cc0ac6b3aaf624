"""A study from elsewhere: what stands in its files becomes paths, none of which may lead out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from analysis.front_command import main as front_main
from analysis.load import StudyError, load_study
from analysis.report import main as report_main
from analysis.samples import embedded, gallery, pairs

StudyMaker = Callable[..., Path]


@pytest.fixture
def study(make_study: StudyMaker) -> Path:
    return make_study()


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "checkpoints/../../x", "//host/x", "", "C:x"])
def test_a_checkpoint_that_leads_out_is_refused(study: Path, place: str) -> None:
    first = load_study(study).front.iloc[0]
    table = (study / "front.csv").read_text()
    (study / "front.csv").write_text(table.replace(first["checkpoint"], place))
    with pytest.raises(StudyError, match=r"the checkpoint of a front member must be checkpoints/"):
        load_study(study)


@pytest.mark.parametrize("table", ["front.csv", "reports.csv", "trials.csv"])
@pytest.mark.parametrize("name", ["../../../secret", "/secret", ".", "a b", "", '"a\nb"'])
def test_a_trial_id_that_is_a_path_is_refused(
    study: Path, table: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, known = (study / table).read_text(), load_study(study).front.iloc[0]["trial_id"]
    (study / table).write_text(text.replace(f"\n{known},", f"\n{name},"))
    for main in (front_main, report_main):
        assert main([study.name, "--storage-path", str(study.parent)]) == 2
        error = capsys.readouterr().err
        assert "must be" in error
        assert "Traceback" not in error


def test_a_picture_that_is_a_link_out_is_not_put_on_the_page(study: Path) -> None:
    private, link = study.parent / "private.png", study / "images" / "retrained-samples.png"
    Image.new("L", (16, 16), 77).save(private)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(private)
    assert gallery(load_study(study)) == []
    assert not pairs(load_study(study))
    link.unlink()
    link.write_bytes(private.read_bytes())
    found = load_study(study)
    assert gallery(found) == ["retrained-samples"]
    assert len(embedded(found, gallery(found))) == 1


@pytest.mark.parametrize("content", [b"", b"private", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(20)])
def test_a_picture_that_is_none_is_passed_over(study: Path, content: bytes) -> None:
    path = study / "images" / "retrained-samples.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    found = load_study(study)
    assert embedded(found, gallery(found)) == {}


def test_a_picture_that_would_fill_the_memory_is_passed_over(study: Path) -> None:
    path = study / "images" / "retrained-samples.png"
    path.parent.mkdir(exist_ok=True)
    Image.new("1", (12_000, 12_000)).save(path)
    found = load_study(study)
    assert embedded(found, gallery(found)) == {}
