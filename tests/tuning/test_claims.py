"""Which of several machines has a study of an object store."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.mirror.claims import Claim, SupersededError, begin_launch, claimed, require_claim


def machine(tmp_path: Path, name: str, store: str | None) -> tuple[StudyFiles, Depot]:
    files = StudyFiles(tmp_path / name / "study")
    return files, Depot(files.root, store)


def test_launches_are_counted_by_the_store_and_told_apart_by_more_than_their_number(s3: str, tmp_path: Path) -> None:
    one, two = machine(tmp_path, "one", f"{s3}/claims"), machine(tmp_path, "two", f"{s3}/claims")
    assert claimed(*one) == Claim()
    first, second = begin_launch(*one), begin_launch(*two)
    assert (first.number, second.number) == (1, 2)
    assert claimed(*one) == second == Claim.read(two[0].launch)
    assert Claim.read(one[0].launch) == first
    require_claim(second, *two)
    with pytest.raises(SupersededError, match=r"taken over by launch 2, while this is launch 1.*only one|only one"):
        require_claim(first, *one)
    one[1].upload(one[0].launch)  # a store of which both took the same number
    with pytest.raises(SupersededError):
        require_claim(Claim(1, "ab" * 8), *two)
    two[1].remove(two[1].root / two[0].launch.name)
    require_claim(second, *two)  # somebody tidied up there: that is no launch


def test_the_store_knows_before_this_machine_does(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch that was cut off there has done nothing, and counts."""
    one = machine(tmp_path, "one", f"{s3}/before")
    begin_launch(*one)
    before = one[0].launch.read_text()
    upload = Depot.upload

    def is_lost(self: Depot, path: Path) -> None:
        upload(self, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as lost:
        lost.setattr(Depot, "upload", is_lost)
        with pytest.raises(KeyboardInterrupt):
            begin_launch(*one)
    assert one[0].launch.read_text() == before
    assert begin_launch(*one).number == 3


def test_without_a_store_launches_are_counted_all_the_same(tmp_path: Path) -> None:
    here = machine(tmp_path, "here", None)
    assert [begin_launch(*here).number for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("3\n", Claim(3)),
        ("3 0a1b2c3d\n", Claim(3, "0a1b2c3d")),
        ("", Claim()),
        ("nonsense", Claim()),
        ("3 ../../0a1b\n", Claim()),
        (f"{10**12} 0a1b2c3d", Claim()),
    ],
)
def test_what_a_file_says(tmp_path: Path, text: str, claim: Claim) -> None:
    path = tmp_path / ".launch"
    path.write_text(text)
    assert Claim.read(path) == claim
    assert Claim.named(claim.name) == claim
