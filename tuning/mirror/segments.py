"""A study's records in an object store, as segments: each says what was added since the one before it.

An object is there whole or not at all, so that a reader finds the records as of one moment whenever the writer was
lost. Segments are merged as the digits of a counter are carried: one is at least twice as large as the one behind it.
There are as many as the records have doublings, and a byte is uploaded as often: what a copy costs does not grow with
what the store has already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.mirror.claims import Claim
from tuning.mirror.growth import Growth, Moment, size_of

#: Where the segments of each launch have a folder.
FOLDER: Final = ".records"
_NAME: Final = re.compile(r"(\d{8})-(\d{8})\.tar\.gz")


@dataclass(frozen=True)
class _Segment:
    """One object: copies number `first` to `last`; brings `size` bytes that were not there at the moment `since`."""

    first: int
    last: int
    since: Moment
    size: int

    @property
    def name(self) -> str:
        return f"{self.first:08d}-{self.last:08d}.tar.gz"


class Segments:
    """Writes those of one launch, which has a folder of its own: what a lost machine may still write is in another.

    Args:
        growth: the records.
        claim: the launch.
    """

    def __init__(self, growth: Growth, claim: Claim) -> None:
        self._growth, self._claim = growth, claim
        self._segments: list[_Segment] = []
        self._moment: Moment = {}
        self._outdated: list[str] = []  # that another segment holds by now
        self._is_alone = False  # no folder of an earlier launch is left

    def lack(self, now: Moment) -> bool:
        """Whether the store does not know of a moment, or is not tidied up yet."""
        return now != self._moment or bool(self._outdated) or not self._is_alone

    def append(self, now: Moment, staged: Depot) -> None:
        """Have the store know of a moment.

        Args:
            now: the last one that was looked at.
            staged: the study's depot by way of an empty folder.

        Raises:
            OSError: the store does not answer, or there is no room.
        """
        if now != self._moment or not self._segments:
            self._upload(now, staged)
        while self._outdated:
            staged.remove(self._path(staged, self._outdated[0]))
            del self._outdated[0]
        self._drop_earlier_launches(staged)

    def _upload(self, now: Moment, staged: Depot) -> None:
        kept, number = list(self._segments), self._segments[-1].last + 1 if self._segments else 0
        new = _Segment(number, number, self._moment, size_of(self._moment, now))
        while kept and kept[-1].size <= 2 * new.size:
            last = kept.pop()
            new = _Segment(last.first, number, last.since, size_of(last.since, now))
        path = self._path(staged, new.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._growth.pack(path, new.since, now)
        staged.upload(path)
        path.unlink()
        self._outdated += [segment.name for segment in self._segments[len(kept) :]]
        self._segments, self._moment = [*kept, new], now

    def _drop_earlier_launches(self, staged: Depot) -> None:
        """What this launch has holds all of it. A later one's is not touched, nor is one whose name says nothing."""
        if self._is_alone:
            return
        for name in staged.entries(staged.root / FOLDER):
            other = Claim.named(name)
            if other is not None and other != self._claim and other.number <= self._claim.number:
                staged.remove(staged.root / FOLDER / name)
        staged.remove(staged.root / StudyFiles(staged.root).archive.name)
        self._is_alone = True

    def _path(self, staged: Depot, name: str) -> Path:
        return staged.root / FOLDER / self._claim.name / name


def chains(listing: Iterable[str]) -> dict[Claim, list[str]]:
    """Launch → the names of its segments in their order, of launches that have all from the first on.

    A segment that another one holds, which was not removed yet, is left out.

    Args:
        listing: paths in `FOLDER` of a store.
    """
    found: dict[Claim, dict[int, int]] = {}
    for path in listing:
        folder, _, name = path.rpartition("/")
        claim, numbers = Claim.named(folder), _NAME.fullmatch(name)
        if claim is not None and numbers is not None:
            lasts = found.setdefault(claim, {})
            first, last = int(numbers[1]), int(numbers[2])
            lasts[first] = max(last, lasts.get(first, last))
    chained = {claim: _chain(claim, lasts) for claim, lasts in found.items()}
    return {claim: names for claim, names in chained.items() if names}


def _chain(claim: Claim, lasts: dict[int, int]) -> list[str]:
    names, number = [], 0
    while number in lasts:
        names.append(f"{claim.name}/{_Segment(number, lasts[number], {}, 0).name}")
        number = max(number, lasts[number]) + 1
    return names
