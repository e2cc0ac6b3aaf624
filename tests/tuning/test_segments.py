"""Segments of records in a store: how many there are, what they cost, and what a reader makes of those it finds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from trainable.depot import Depot
from tuning.mirror.claims import Claim
from tuning.mirror.growth import Growth, unpack
from tuning.mirror.segments import FOLDER, Segments, chains

CLAIM = Claim(3, "0a1b2c3d")


class Store:
    """A folder that segments go to, and what was uploaded."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.uploaded = root, list[int]()
        root.mkdir()
        self.depot = Depot(root / "study")

        def upload(depot: Depot, path: Path) -> None:
            self.uploaded.append(path.stat().st_size)
            kept = root / "kept" / path.relative_to(depot.root)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(path.read_bytes())

        def remove(depot: Depot, path: Path) -> None:
            (root / "kept" / path.relative_to(depot.root)).unlink(missing_ok=True)

        monkeypatch.setattr(Depot, "upload", upload)
        monkeypatch.setattr(Depot, "remove", remove)

    @property
    def names(self) -> list[str]:
        folder = self.root / "kept" / FOLDER
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.tar.gz"))

    def read(self, target: Path) -> None:
        target.mkdir()
        for name in chains(self.names)[CLAIM]:
            unpack(self.root / "kept" / FOLDER / name, target)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


def test_a_copy_costs_by_what_is_new_and_few_segments_are_left(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store", monkeypatch)
    growth = Growth(records, records.iterdir)
    segments, line, turns = Segments(growth, CLAIM), "row\n" * 25, 300
    for turn in range(turns):
        for name in ("a", "b"):
            with (records / name).open("a") as stream:
                stream.write(f"{turn} {line}")
        (records / "now").write_text(f"{turn}")
        segments.append(growth.look(), store.depot)
        assert len(store.names) <= 10
    store.read(tmp_path / "there")
    assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == {
        path.name: path.read_bytes() for path in records.iterdir()
    }
    # Every byte as often as there are doublings, where all of it each time would be 300 times.
    whole = sum(size for size in store.uploaded)
    raw = 2 * turns * len(line)
    assert whole < 12 * raw, "and that without compression"


@pytest.mark.parametrize("lost_at", range(1, 12))
def test_a_writer_that_is_lost_leaves_one_moment(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost_at: int
) -> None:
    """Whatever it was about to upload or to remove."""
    store = Store(tmp_path / "store", monkeypatch)
    growth, turns = Growth(records, records.iterdir), 0
    segments, calls = Segments(growth, CLAIM), iter(range(lost_at))

    def until_lost(deed: Callable[[Depot, Path], None]) -> Callable[[Depot, Path], None]:
        def call(depot: Depot, path: Path) -> None:
            if next(calls, None) is None:
                raise OSError("lost")
            deed(depot, path)

        return call

    def write() -> None:
        for name in ("a", "b"):
            with (records / name).open("a") as stream:
                stream.write(f"{turns}\n")

    monkeypatch.setattr(Depot, "upload", until_lost(Depot.upload))
    monkeypatch.setattr(Depot, "remove", until_lost(Depot.remove))
    with suppress(OSError):
        while True:
            turns += 1
            write()
            segments.append(growth.look(), store.depot)
    store.read(tmp_path / "there")
    a, b = ((tmp_path / "there" / name).read_text() for name in ("a", "b"))
    assert a == b
    assert a.split()[-1:] in ([str(turns)], [str(turns - 1)])


def test_a_reader_takes_the_longest_segments_of_whole_chains() -> None:
    def segment(claim: str, first: int, last: int) -> str:
        return f"{claim}/{first:08d}-{last:08d}.tar.gz"

    one, two = "000003-0a1b2c3d", "000004-"
    listing = [
        *(segment(one, first, last) for first, last in ((0, 0), (1, 1), (0, 3), (2, 3), (4, 4), (6, 6))),
        segment(two, 1, 1),
        "000004-/nonsense",
        "elsewhere/00000000-00000000.tar.gz",
    ]
    assert chains(listing) == {CLAIM: [segment(one, 0, 3), segment(one, 4, 4)]}
