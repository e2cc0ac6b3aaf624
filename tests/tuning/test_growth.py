"""What was added to files since a moment, and putting it together again."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tuning.files import write_text_atomic
from tuning.mirror.growth import INDEX, Growth, Moment, size_of, unpack


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def growth(here: Path) -> Growth:
    return Growth(here, lambda: [path for path in here.iterdir() if not path.name.endswith(".tmp")])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_only_what_was_appended_counts(growth: Growth, here: Path) -> None:
    (here / "a").write_text("0123456789")
    (here / "b").write_text("0123456789")
    first = growth.look()
    assert size_of({}, first) == 20
    with (here / "a").open("a") as stream:
        stream.write("ab")
    second = growth.look()
    assert (size_of(first, second), size_of(first, first)) == (2, 0)
    write_text_atomic(here / "b", "0123456789ab")
    assert size_of(second, growth.look()) == 12, "another file, if one that begins like the one before"
    write_text_atomic(here / "b", "another")
    write_text_atomic(here / "b", "0123456789abc")
    assert size_of(second, growth.look()) == 13, "whatever inode it was given"


def test_what_was_cut_off_and_written_anew_is_no_addition(growth: Growth, here: Path) -> None:
    """A row that a full disk took half of is taken back."""
    (here / "a").write_text("row\nro")
    first = growth.look()
    os.truncate(here / "a", 4)
    with (here / "a").open("a") as stream:
        stream.write("another row\n")
    second = growth.look()
    assert size_of(first, second) == (here / "a").stat().st_size
    os.truncate(here / "a", 4)
    assert size_of(second, growth.look()) == 4


def test_any_history_is_put_together_again(growth: Growth, here: Path, tmp_path: Path) -> None:
    """Random appends, replacements and removals, taken up at random moments and from random moments on."""
    draw, deeds = random.Random(0), 0
    moments: list[Moment] = [{}]
    states = [dict[str, bytes]()]
    for turn in range(60):
        for _ in range(draw.randrange(1, 5)):
            path, deeds = here / draw.choice("abcd"), deeds + 1
            choice = draw.random()
            if choice < 0.7:
                with path.open("a") as stream:
                    stream.write(f"{deeds} " * draw.randrange(1, 3000))
            elif choice < 0.9:
                write_text_atomic(path, f"{deeds} " * draw.randrange(1, 3000))
            else:
                path.unlink(missing_ok=True)
        now = growth.look()
        since = draw.randrange(len(moments))
        growth.pack(tmp_path / "archive", moments[since], now)
        there = tmp_path / f"there-{turn}"
        there.mkdir()
        for name, content in states[since].items():
            (there / name).write_bytes(content)
        unpack(tmp_path / "archive", there)
        assert contents(there) == contents(here)
        moments.append(now)
        states.append(contents(here))


def test_a_moment_is_of_all_files(here: Path, growth: Growth) -> None:
    """A journal that is written after the records never has less than they have."""
    over, found = threading.Event(), 0
    for name in ("records", "journal"):
        (here / name).touch()

    def write() -> None:
        with (here / "records").open("a") as records, (here / "journal").open("a") as journal:
            while not over.wait(0.001):
                for stream in (records, journal):
                    stream.write("x")
                    stream.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            now = growth.look()
            found += 1
            assert 0 <= now["records"].size - now["journal"].size <= 1
    finally:
        over.set()
        writer.join()
    assert found == 200


def test_files_that_never_stand_still_are_said(growth: Growth, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a").touch()
    marks: Callable[[Growth], object] = Growth._marks

    def as_it_changes(self: Growth) -> object:
        with (here / "a").open("a") as stream:
            stream.write("more")
        return marks(self)

    monkeypatch.setattr(Growth, "_marks", as_it_changes)
    with pytest.raises(OSError, match="faster than they can be looked at"):
        growth.look()


def archive(path: Path, index: object, *members: tuple[str, bytes], first: str = INDEX) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in ((first, json.dumps(index).encode()), *members):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("index", "members", "words"),
    [
        ({"from": {"../x": 0}, "gone": []}, [("../x", b"")], "lead to no other folder"),
        ({"from": {"/x": 0}, "gone": []}, [("/x", b"")], "lead to no other folder"),
        ({"from": {}, "gone": ["../kept"]}, [], "lead to no other folder"),
        ({"from": {"a": 3}, "gone": []}, [("a", b"x")], "must go on from byte 3, but there are 2"),
        ({"from": {}, "gone": []}, [("a", b"x")], "cannot be read"),
        ([], [], "cannot be read"),
    ],
)
def test_an_archive_of_somebody_else_is_refused(
    tmp_path: Path, index: object, members: list[tuple[str, bytes]], words: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("ab")
    (tmp_path / "kept").touch()
    with pytest.raises(ValueError, match=words):
        unpack(archive(tmp_path / "archive", index, *members), folder)
    assert (tmp_path / "kept").exists()
    assert contents(folder) == {"a": b"ab"}


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read"):
        unpack(tmp_path / "archive", tmp_path)
    with pytest.raises(ValueError, match="must begin with"):
        unpack(archive(tmp_path / "archive", {}, first="a"), tmp_path)
