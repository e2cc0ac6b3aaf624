"""What the end of a study fetches from an object store, and what it drops there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_study import make_reports, write_study

from analysis.load import load_study
from analysis.samples import as_data_url
from trainable.depot import Depot
from tuning.errands import bring_pictures, drop_resume_states
from tuning.files import StudyFiles


class Screen:
    """A view that counts."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.advances = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total))

    def advance(self) -> None:
        self.advances += 1


def test_of_many_pictures_those_come_here_that_the_page_has_room_for(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(write_study(tmp_path / "study", make_reports(12)))
    depot, images, screen = Depot(tmp_path / "study", s3), study.files.images, Screen()
    images.mkdir(exist_ok=True)
    member = study.front.iloc[0]
    member_files = [f"{member['trial_id']}-{member['step']}{again}-samples.png" for again in ("", "-final")]
    reports = [f"{row.trial_id}-{row.step}-samples.png" for row in study.reports.itertuples()]
    noise = np.random.default_rng(0).integers(0, 255, (24, 24), dtype=np.uint8)
    for name in {*reports, *member_files, "retrained-samples.png", "00000-10-other.png"}:
        Image.fromarray(noise).save(images / name)
    size = len(as_data_url(images / "retrained-samples.png") or "")
    depot.hand_over(list(images.glob("*.png")))
    monkeypatch.setattr("tuning.errands.BATCH", 4)
    monkeypatch.setattr("tuning.errands.BUDGET", 10 * size)
    bring_pictures(study, depot, screen)
    here = {path.name for path in images.glob("*.png")}
    assert {"retrained-samples.png", *member_files} <= here
    assert 10 <= len(here) <= 12 < len(reports)
    assert screen.stages == [("fetch pictures", len({*reports, *member_files}) + 1)]
    assert screen.advances == len(here)


def test_resume_states_are_dropped_and_what_ray_says_of_failures_is_kept(s3: str, tmp_path: Path) -> None:
    for depot in (Depot(tmp_path / "here"), Depot(tmp_path / "there", s3)):
        files, screen = StudyFiles(depot.root), Screen()
        names = [f"{trial:05d}/checkpoint_{number:06d}/0/state.pt" for trial in range(3) for number in range(2)]
        for name in [*names, "00001/error.txt", "experiment_state.json"]:
            (files.ray / name).parent.mkdir(parents=True, exist_ok=True)
            (files.ray / name).touch()
        depot.hand_over([files.ray])
        drop_resume_states(depot, files, screen)
        assert depot.listing(files.ray) == ["00001/error.txt", "experiment_state.json"]
        told = ([("drop resume states", 6)], 6) if depot.url else ([], 0)
        assert (screen.stages, screen.advances) == told, "on a disk there is nothing to wait for"
        drop_resume_states(depot, files, screen)
        assert len(screen.stages) == len(told[0]), "nothing is left to do"
