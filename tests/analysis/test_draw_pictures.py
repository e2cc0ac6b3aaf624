"""Pictures of README and documentation, drawn from a study by one command."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

from analysis.load import load_study  # noqa: E402
from scripts import draw_pictures  # noqa: E402
from scripts.pictures_lib import screenshots  # noqa: E402
from scripts.pictures_lib.terminal import terminal_svg  # noqa: E402
from tuning.files import StudyFiles  # noqa: E402


def write_events(study: Path) -> None:
    """A launch that ran one trial after another, ten seconds a report."""
    reports = load_study(study).reports
    now = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [{"event": "study_started"}, {"event": "stage", "stage": "trials", "done": 0, "total": 20}]
    for trial, of_trial in reports.groupby("trial_id", sort=False):
        lines.append({"event": "trial_started", "trial_id": trial, "method": "siss"})
        lines += [{"event": "report", "trial_id": trial, "step": int(step)} for step in of_trial["step"]]
        lines.append({"event": "trial_ended", "trial_id": trial, "state": "COMPLETE"})
    with StudyFiles(study).events.open("w") as stream:
        for line in lines:
            now += timedelta(seconds=10 * (line["event"] == "report"))
            stream.write(json.dumps({"time": now.isoformat(), **line}) + "\n")


@pytest.fixture
def study(make_study: Callable[..., Path]) -> Path:
    made = make_study(images=True)
    write_events(made)
    return made


def test_what_needs_no_browser_is_drawn_without_one_and_the_study_is_left_alone(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screenshots.shutil, "which", lambda name: None)
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    assert draw_pictures.main([str(study), "--output", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "Chromium must be installed: apt-get install chromium" in err
    drawn = {Path(line).name for line in out.splitlines()}
    assert drawn == {"front.png", "hypervolume.png", "samples_member.png", "samples_retrained.png"}
    for name in drawn:
        with Image.open(tmp_path / "out" / name) as picture:
            assert len(picture.getcolors(100_000) or []) > 10
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("logs", [True, False])
def test_what_shows_forget_images_is_taken_only_of_a_study_that_logs_them(
    make_study: Callable[..., Path], tmp_path: Path, logs: bool
) -> None:
    study = make_study(images=True, log_forget_images=logs)
    files = StudyFiles(study)
    for name in ("untouched-denoisings", "retrained-samples", "retrained-denoisings"):
        Image.new("L", (28, 28), 50).save(files.images / f"{name}.png")
    for row in load_study(study).front.itertuples():
        Image.new("L", (28, 28), 80).save(files.images / f"{row.trial_id}-{row.step}-samples.png")
    drawn = {path.name for path in draw_pictures.draw(load_study(study), tmp_path)} - {"front.png", "hypervolume.png"}
    plain = {"samples_retrained.png", "samples_member.png"}
    shown = {"samples_untouched.png", "restored_untouched.png", "restored_retrained.png"}
    assert drawn == (plain | shown if logs else plain)


def test_the_terminal_is_that_of_the_study_and_of_no_machine(study: Path) -> None:
    text = terminal_svg(load_study(study)).replace("&#160;", " ")
    assert "of 20 trials, 1 running, 0 failed" in text
    assert "front so far" in text
    assert "re-measured; hypervolume" in text
    assert "runs/synthetic/report.html" in text
    assert str(study.parent) not in text
    assert str(ROOT) not in text
    assert "@font-face" not in text, "nothing is loaded from the network"


def test_a_study_without_events_or_front_has_a_terminal_too(make_study: Callable[..., Path]) -> None:
    study = make_study(finished=False)
    assert terminal_svg(load_study(study)).startswith("<svg")


def test_no_study_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_pictures.main([str(tmp_path / "none"), "--output", str(tmp_path)]) == 2
    assert "none" in capsys.readouterr().err
