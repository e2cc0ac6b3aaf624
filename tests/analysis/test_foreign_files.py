"""A study from elsewhere: what stands in its files becomes paths, none of which may lead out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.front_command import main as front_main
from analysis.load import StudyError, load_study
from analysis.report import main as report_main

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
    (study.parent / "private.png").write_bytes(b"private")
    (study / "images").mkdir(exist_ok=True)
    (study / "images" / "retrained-samples.png").symlink_to(study.parent / "private.png")
    assert report_main([study.name, "--storage-path", str(study.parent)]) == 0
    page = (study / "report.html").read_text()
    assert "cHJpdmF0ZQ==" not in page
    (study / "images" / "retrained-samples.png").unlink()
    (study / "images" / "retrained-samples.png").write_bytes(b"private")
    assert report_main([study.name, "--storage-path", str(study.parent)]) == 0
    assert "cHJpdmF0ZQ==" in (study / "report.html").read_text()
