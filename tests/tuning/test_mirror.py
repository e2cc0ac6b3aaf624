"""Copies of a study's records in an object store, and who has the latest ones."""

from __future__ import annotations

import re
import signal
import tarfile
import threading
import time
from pathlib import Path

import pytest

from trainable.depot import Depot, UnreachableError
from tuning.files import StudyFiles
from tuning.interruption import Interruption, stop_at_once
from tuning.mirror.claims import SupersededError, begin_launch
from tuning.mirror.mirror import PACE, Mirror
from tuning.mirror.segments import FOLDER
from tuning.mirror.taking_over import bring_back


def new_study(root: Path, *reports: str) -> StudyFiles:
    files = StudyFiles(root)
    root.mkdir(parents=True)
    files.study.write_text("name: study\n")
    files.reports.write_text("".join(f"{row}\n" for row in ("step", *reports)))
    return files


def launched(files: StudyFiles, store: str) -> Mirror:
    """What copies the records of a launch that begins now."""
    depot = Depot(files.root, store)
    begin_launch(files, depot)
    return Mirror(files, depot)


def mirrored(files: StudyFiles, store: str) -> Mirror:
    mirror = launched(files, store)
    assert mirror.copy()
    return mirror


@pytest.fixture
def store(s3: str, request: pytest.FixtureRequest) -> str:
    """A part of the store for each test."""
    name = re.sub(r"\W+", "-", request.node.name)
    return f"{s3}/{name}"


@pytest.fixture
def uploaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is uploaded."""
    names: list[str] = []
    upload = Depot.upload
    monkeypatch.setattr(Depot, "upload", lambda self, path: (names.append(path.name), upload(self, path)))
    return names


def test_what_changes_is_copied_and_the_rest_is_not_copied_again(
    store: str, tmp_path: Path, uploaded: list[str]
) -> None:
    files = new_study(tmp_path / "here" / "study", "1")
    mirror = mirrored(files, store)
    uploaded.clear()
    files.reports.write_text("step\n1\n2\n")
    (files.root / ".front.csv.1.tmp").write_text("half")
    files.images.mkdir()
    (files.images / "front.png").write_bytes(b"picture")
    (files.images / "00001-2-samples.png").write_bytes(b"from a worker")
    assert mirror.copy()
    assert uploaded == ["00000001-00000001.tar.gz", "front.png", "reports.csv"]
    assert mirror.copy()
    (files.images / "front.png").write_bytes(b"another picture")
    assert mirror.copy()
    assert uploaded[3:] == ["front.png"], "no record has changed"
    files.archive.write_bytes(b"brought here by somebody who copied the store")
    assert mirror.copy()
    assert len(uploaded) == 4, "it is no record"


def test_large_files_are_copied_by_themselves_seldom_and_in_the_end(
    store: str, tmp_path: Path, uploaded: list[str]
) -> None:
    files, now = new_study(tmp_path / "study", "1"), 0.0
    begin_launch(files, Depot(files.root, store))
    mirror = Mirror(files, Depot(files.root, store), clock=lambda: now)
    files.journal.write_bytes(b"x" * 5 * PACE)
    assert mirror.copy()
    for now in (2.0, 4.9, 5.1):
        uploaded.clear()
        with files.journal.open("ab") as journal:
            journal.write(b"more")
        assert mirror.copy()
        assert (files.journal.name in uploaded) == (now > 5)
        assert len(uploaded) == 1 + (now > 5), "a segment each time"
    with files.journal.open("ab") as journal:
        journal.write(b"more")
    assert mirror.copy(is_last=True)
    assert files.journal.name in uploaded[-1:]


def test_another_machine_takes_the_records_over(store: str, tmp_path: Path) -> None:
    first = new_study(tmp_path / "one" / "study", "1")
    mirror = mirrored(first, store)
    for step in range(2, 6):
        with first.reports.open("a") as reports:
            reports.write(f"{step}\n")
        assert mirror.copy()
    second = StudyFiles(tmp_path / "two" / "study")
    told: list[tuple[str, int, int]] = []
    bring_back(store, second.root, lambda *words: told.append(words))
    assert told == [("study", done, len(told)) for done in range(1, len(told) + 1)]
    assert told, "each segment"
    assert second.reports.read_text() == first.reports.read_text()
    second_mirror = launched(second, store)
    with second.reports.open("a") as reports:
        reports.write("6\n")
    assert second_mirror.copy()
    bring_back(store, first.root)
    assert first.reports.read_text().split()[-1] == "6", "the second machine was the last to run the study"
    depot = Depot(first.root, store)
    assert len(depot.entries(first.root / FOLDER)) == 1, "what the first had is not kept"


def test_what_is_gone_here_is_gone_there_and_on_the_next_machine(store: str, tmp_path: Path) -> None:
    """A queue of another machine that was worked off long ago would be worked off once more."""
    first = new_study(tmp_path / "one" / "study", "1")
    first.mlflow_spool.write_text("{}\n")
    mirror = mirrored(first, store)
    second = StudyFiles(tmp_path / "two" / "study")
    bring_back(store, second.root)
    assert second.mlflow_spool.exists()
    assert second.taken_over.exists()
    first.mlflow_spool.unlink()
    assert mirror.copy()
    bring_back(store, second.root)
    assert not second.mlflow_spool.exists()
    assert first.mlflow_spool.name not in Depot(first.root, store).entries(first.root)


def test_taking_over_that_was_cut_off_is_done_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = new_study(tmp_path / "one" / "study", "1")
    mirrored(first, store)
    second = new_study(tmp_path / "two" / "study", "of long ago")
    second.launch.write_text("0\n")
    replace = Path.replace

    def fails_late(self: Path, target: Path) -> Path:
        if target == second.study:
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
    mirrored(files, store)
    files.reports.write_text("step\n1\n2\n")
    bring_back(store, files.root)
    assert files.reports.read_text() == "step\n1\n2\n"


def test_a_machine_that_only_looked_is_not_the_latest(store: str, tmp_path: Path) -> None:
    """A command that was refused, or a dry run, has brought the records and done no work."""
    first, second = new_study(tmp_path / "one" / "study", "1"), StudyFiles(tmp_path / "two" / "study")
    mirror = mirrored(first, store)
    bring_back(store, second.root)
    with first.reports.open("a") as reports:
        reports.write("2\n")
    assert mirror.copy()
    bring_back(store, second.root)
    assert second.reports.read_text() == first.reports.read_text()


def test_a_launch_that_died_before_its_first_copy_takes_nothing_from_the_one_that_worked(
    store: str, tmp_path: Path
) -> None:
    first, second = new_study(tmp_path / "one" / "study", "1"), StudyFiles(tmp_path / "two" / "study")
    mirrored(first, store)
    bring_back(store, second.root)
    launched(second, store)
    first.reports.write_text("step\n1\nnot copied\n")
    bring_back(store, first.root)
    assert first.reports.read_text().split()[-1] == "copied", "nothing later is in the store"
    mirror = launched(first, store)
    first.reports.write_text("step\n1\n2\n")
    assert mirror.copy()
    bring_back(store, second.root)
    assert second.reports.read_text() == "step\n1\n2\n"


def test_a_machine_that_was_cut_off_from_the_network_does_not_go_on(store: str, tmp_path: Path) -> None:
    first, second = new_study(tmp_path / "one" / "study", "1"), StudyFiles(tmp_path / "two" / "study")
    stopped = threading.Event()
    depot = Depot(first.root, store)
    begin_launch(first, depot)
    mirror = Mirror(first, depot, stop=stopped.set)

    def study() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and first.study.name not in depot.entries(first.root):
            time.sleep(0.05)
        bring_back(store, second.root)
        later = launched(second, store)
        second.reports.write_text("step\n1\n2\n")
        assert later.copy()
        first.reports.write_text("step\n1\nof the first\n")
        assert stopped.wait(20), "the study is interrupted"
        raise KeyboardInterrupt

    with pytest.raises(SupersededError, match="taken over by launch 2, while this is launch 1"), mirror.running():
        study()
    third = StudyFiles(tmp_path / "three" / "study")
    bring_back(store, third.root)
    assert third.reports.read_text() == "step\n1\n2\n"


def test_an_interrupt_from_a_thread_ends_trials_at_once_and_anything_else_too() -> None:

    def work(thread: threading.Thread) -> None:
        until = time.monotonic() + 20
        thread.start()
        while time.monotonic() < until:
            time.sleep(0.01)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for context in (Interruption(), threading.Lock()):
            thread = threading.Thread(target=stop_at_once)
            with pytest.raises(KeyboardInterrupt), context:
                work(thread)
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_study_that_the_store_does_not_have_leaves_nothing(store: str, tmp_path: Path) -> None:
    bring_back(store, tmp_path / "study")
    assert not any(tmp_path.iterdir())


def test_segments_that_are_merged_while_they_are_fetched_are_fetched_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = new_study(tmp_path / "one" / "study", "1")
    mirror = mirrored(files, store)
    there, listing = StudyFiles(tmp_path / "two" / "study"), Depot.listing

    def then_merged(self: Depot, folder: Path) -> list[str]:
        found = listing(self, folder)
        if len(files.reports.read_text().split()) < 3:
            with files.reports.open("a") as reports:
                reports.write("another" * 100 + "\n")
            assert mirror.copy()
        return found

    monkeypatch.setattr(Depot, "listing", then_merged)
    bring_back(store, there.root)
    assert there.reports.read_text() == files.reports.read_text()


def test_records_that_cannot_be_read_are_said(store: str, tmp_path: Path) -> None:
    files = new_study(tmp_path / "one" / "study", "1")
    mirrored(files, store)
    depot = Depot(files.root, store)
    (name,) = depot.listing(files.root / FOLDER)
    path = files.root / FOLDER / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nonsense")
    depot.upload(path)
    with pytest.raises(UnreachableError, match=r"the records in s3://.* cannot be read: 00000000-00000000.tar.gz"):
        bring_back(store, tmp_path / "two" / "study")


@pytest.mark.parametrize("uploads", range(5))
def test_a_machine_that_is_lost_while_it_copies_leaves_one_moment(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uploads: int
) -> None:
    """However many files of the later moment the store has by then."""
    files = new_study(tmp_path / "here" / "study", "1")
    files.journal.write_text("1\n")
    files.trials.write_text("1\n")
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
    assert mirror.copy(), "the copy that was cut off is made up for"


@pytest.mark.parametrize("has_archive", [False, True])
def test_a_store_from_before_there_were_segments_is_read_and_gone_on_with(
    store: str, tmp_path: Path, has_archive: bool
) -> None:
    files = new_study(tmp_path / "here" / "study", "1")
    files.launch.write_text("7\n")
    depot = Depot(files.root, store)
    uploads = [files.study, files.reports, files.launch]
    if has_archive:
        with tarfile.open(files.archive, "w") as tar:
            for path in uploads:
                tar.add(path, arcname=path.name)
        uploads = [files.archive, files.launch]
    for path in uploads:
        depot.upload(path)
    there = StudyFiles(tmp_path / "there" / "study")
    bring_back(store, there.root)
    assert there.reports.read_text() == files.reports.read_text()
    assert not there.archive.exists()
    mirrored(there, store)
    assert there.launch.read_text().startswith("8 ")
    assert there.archive.name not in depot.entries(depot.root)
    there.reports.write_text("step\n1\n2\n")
    assert mirrored(there, store)
    bring_back(store, files.root)
    assert files.reports.read_text() == "step\n1\n2\n"


def test_a_store_that_is_away_costs_a_warning_and_is_tried_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = launched(new_study(tmp_path / "here" / "study", "1"), store)
    with monkeypatch.context() as away:
        away.setattr(Depot, "upload", lambda self, path: (_ for _ in ()).throw(OSError("away")))
        assert not mirror.copy()
        assert not mirror.copy()
    assert [record.message for record in caplog.records] == [
        "the records cannot be copied, which is tried again until they can: away"
    ]
    assert mirror.copy()
