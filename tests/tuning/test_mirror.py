"""Copies of a study's records in an object store, and who has the latest ones."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path

import pytest

from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.mirror import ARCHIVE, Mirror, begin_launch, bring_back


def new_study(root: Path, *reports: str) -> StudyFiles:
    files = StudyFiles(root)
    root.mkdir(parents=True)
    files.study.write_text("name: study\n")
    files.reports.write_text("".join(f"{row}\n" for row in ("step", *reports)))
    return files


def mirrored(files: StudyFiles, store: str) -> Mirror:
    mirror = Mirror(files, Depot(files.root, store))
    assert mirror.copy()
    return mirror


@pytest.fixture
def store(s3: str, request: pytest.FixtureRequest) -> str:
    """A part of the store for each test."""
    name = re.sub(r"\W+", "-", request.node.name)
    return f"{s3}/{name}"


def test_what_changes_is_copied_and_the_rest_is_not_copied_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = new_study(tmp_path / "here" / "study", "1")
    mirror = mirrored(files, store)
    uploaded: list[str] = []
    upload = Depot.upload
    monkeypatch.setattr(Depot, "upload", lambda self, path: (uploaded.append(path.name), upload(self, path)))
    files.reports.write_text("step\n1\n2\n")
    (files.root / ".front.csv.1.tmp").write_text("half")
    files.images.mkdir()
    (files.images / "front.png").write_bytes(b"picture")
    (files.images / "00001-2-samples.png").write_bytes(b"from a worker")
    assert mirror.copy()
    assert uploaded == [ARCHIVE, "reports.csv", "front.png"]
    assert mirror.copy()
    (files.images / "front.png").write_bytes(b"another picture")
    assert mirror.copy()
    assert uploaded[3:] == ["front.png"], "no record has changed"
    (files.root / ARCHIVE).write_bytes(b"brought here by somebody who copied the store")
    assert mirror.copy()
    assert len(uploaded) == 4, "it is no record"


def test_another_machine_takes_the_records_over(store: str, tmp_path: Path) -> None:
    first = new_study(tmp_path / "one" / "study", "1")
    begin_launch(first)
    mirrored(first, store)
    second = StudyFiles(tmp_path / "two" / "study")
    told: list[tuple[str, int, int]] = []
    bring_back(store, second.root, lambda *words: told.append(words))
    assert told == [("study", done, len(told)) for done in range(1, len(told) + 1)]
    assert len(told) >= 3, "each file"
    assert second.reports.read_text() == first.reports.read_text()
    begin_launch(second)
    second.reports.write_text("step\n1\n2\n")
    mirrored(second, store)
    bring_back(store, first.root)
    assert first.reports.read_text() == "step\n1\n2\n", "the second machine was the last to run the study"


def test_what_is_gone_here_is_gone_there_and_on_the_next_machine(store: str, tmp_path: Path) -> None:
    """A queue of another machine that was worked off long ago would be worked off once more."""
    first = new_study(tmp_path / "one" / "study", "1")
    begin_launch(first)
    first.mlflow_spool.write_text("{}\n")
    mirror = mirrored(first, store)
    second = StudyFiles(tmp_path / "two" / "study")
    bring_back(store, second.root)
    assert second.mlflow_spool.exists()
    assert second.taken_over.exists()
    first.mlflow_spool.unlink()
    begin_launch(first)
    assert mirror.copy()
    bring_back(store, second.root)
    assert not second.mlflow_spool.exists()


def test_taking_over_that_was_cut_off_is_done_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = new_study(tmp_path / "one" / "study", "1")
    begin_launch(first)
    mirrored(first, store)
    second = StudyFiles(tmp_path / "two" / "study")
    replace = Path.replace

    def fails_late(self: Path, target: Path) -> Path:
        if target == second.launch:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", fails_late)
        with pytest.raises(KeyboardInterrupt):
            bring_back(store, second.root)
    second.reports.write_text("half")
    bring_back(store, second.root)
    assert second.reports.read_text() == first.reports.read_text()


def test_the_machine_of_the_latest_launch_keeps_what_was_not_copied(store: str, tmp_path: Path) -> None:
    files = new_study(tmp_path / "study", "1")
    begin_launch(files)
    mirrored(files, store)
    files.reports.write_text("step\n1\n2\n")
    bring_back(store, files.root)
    assert files.reports.read_text() == "step\n1\n2\n"


def test_a_study_that_the_store_does_not_have_leaves_nothing(store: str, tmp_path: Path) -> None:
    bring_back(store, tmp_path / "study")
    assert not any(tmp_path.iterdir())


def test_copies_are_of_one_moment(store: str, tmp_path: Path) -> None:
    """A journal that is written after the records never has less than they have."""
    files = new_study(tmp_path / "here" / "study")
    files.journal.write_text("")
    over = threading.Event()

    def write() -> None:
        count = 0
        while not over.wait(0.002):
            count += 1
            with files.reports.open("a") as reports, files.journal.open("a") as journal:
                reports.write(f"{count}\n")
                reports.flush()
                journal.write(f"{count}\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = 0
        for turn in range(20):
            copies += Mirror(files, Depot(files.root, f"{store}/{turn}")).copy()
    finally:
        over.set()
        writer.join()
    assert copies, "a moment without a write was found"
    for turn in range(20):
        there = StudyFiles(tmp_path / str(turn) / "study")
        bring_back(f"{store}/{turn}", there.root)
        if there.study.exists():
            reports, journal = there.reports.read_text().split()[1:], there.journal.read_text().split()
            assert len(reports) - 1 <= len(journal) <= len(reports)


@pytest.mark.parametrize("uploads", range(6))
def test_a_machine_that_is_lost_while_it_copies_leaves_one_moment(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uploads: int
) -> None:
    """However many files of the later moment the store has by then."""
    files = new_study(tmp_path / "here" / "study", "1")
    files.journal.write_text("1\n")
    files.trials.write_text("1\n")
    begin_launch(files)
    mirror = mirrored(files, store)
    files.reports.write_text("step\n1\n2\n")
    for path in (files.journal, files.trials):
        path.write_text("1\n2\n")
    upload, left = Depot.upload, iter(range(uploads))

    def is_lost(self: Depot, path: Path) -> None:
        if next(left, None) is None:
            raise OSError("lost")
        upload(self, path)

    with monkeypatch.context() as lost:
        lost.setattr(Depot, "upload", is_lost)
        assert mirror.copy() == (uploads >= 4)
    there = StudyFiles(tmp_path / "there" / "study")
    bring_back(store, there.root)
    found = {there.reports.read_text().split()[-1], there.journal.read_text().split()[-1],
             there.trials.read_text().split()[-1]}  # fmt: skip
    assert found == ({"2"} if uploads else {"1"})
    assert not (there.root / ARCHIVE).exists()


def test_a_store_from_before_there_was_an_archive_is_read(store: str, tmp_path: Path) -> None:
    files = new_study(tmp_path / "here" / "study", "1")
    begin_launch(files)
    depot = Depot(files.root, store)
    for path in (files.study, files.reports, files.launch):
        depot.upload(path)
    there = StudyFiles(tmp_path / "there" / "study")
    bring_back(store, there.root)
    assert there.reports.read_text() == files.reports.read_text()


def test_records_that_never_stand_still_are_said_and_no_thread_ends_by_them(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = new_study(tmp_path / "here" / "study", "1")
    mirror, copyfile = Mirror(files, Depot(files.root, store)), shutil.copyfile

    def as_it_changes(source: Path, target: Path) -> None:
        copyfile(source, target)
        with files.reports.open("a") as reports:
            reports.write("more\n")

    with monkeypatch.context() as busy:
        busy.setattr(shutil, "copyfile", as_it_changes)
        assert not mirror.copy()
    assert "faster than they can be read" in caplog.text
    assert mirror.copy()


def test_a_store_that_is_away_costs_a_warning_and_is_tried_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = new_study(tmp_path / "here" / "study", "1")
    mirror = Mirror(files, Depot(files.root, store))
    with monkeypatch.context() as away:
        away.setattr(Depot, "upload", lambda self, path: (_ for _ in ()).throw(OSError("away")))
        assert not mirror.copy()
        assert not mirror.copy()
    assert [record.message for record in caplog.records] == [
        "the records cannot be copied, which is tried again until they can: away"
    ]
    assert mirror.copy()
