"""Whose turn it is where several machines may run a study of one object store: each launch claims the study.

A launch has a number, which tells the later of two, and a random id, since two machines may count to the same number.
The store has the latest claim; a machine has that of its own last launch, if the records there are its own.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainable.depot import Depot
from tuning.files import StudyFiles, write_text_atomic

_TEXT: Final = re.compile(r"(\d{1,9})(?: ([0-9a-f]{8,32}))?\s*")
_NAME: Final = re.compile(r"(\d{6,9})-([0-9a-f]*)")


class SupersededError(RuntimeError):
    """A later launch of the study has begun, on another machine: this one must not go on."""


@dataclass(frozen=True, order=True)
class Claim:
    """One launch of a study; without a number none, and without an id one of before launches had one.

    Attributes:
        number: of the launch, from 1.
        nonce: random, in hexadecimal digits.
    """

    number: int = 0
    nonce: str = ""

    @classmethod
    def read(cls, path: Path) -> Claim:
        """What a file says; no launch where it says nothing, or is not there."""
        try:
            found = _TEXT.fullmatch(path.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return cls()
        return cls(int(found[1]), found[2] or "") if found else cls()

    @classmethod
    def named(cls, name: str) -> Claim | None:
        """The launch whose `name` it is, if it is one."""
        found = _NAME.fullmatch(name)
        return cls(int(found[1]), found[2]) if found else None

    @property
    def name(self) -> str:
        """Of a folder; names of later launches come later."""
        return f"{self.number:06d}-{self.nonce}"

    @property
    def text(self) -> str:
        """Of the file."""
        return f"{self.number} {self.nonce}\n"


def claimed(files: StudyFiles, depot: Depot) -> Claim:
    """The latest launch by the word of the store; where there is no store, of this machine.

    Raises:
        UnreachableError: the store does not answer.
    """
    if depot.url is None:
        return Claim.read(files.launch)
    with tempfile.TemporaryDirectory() as folder:
        copy = Depot(Path(folder) / files.name, depot.url)
        try:
            copy.download(copy.root / files.launch.name)
        except FileNotFoundError:
            return Claim()
        return Claim.read(copy.root / files.launch.name)


def begin_launch(files: StudyFiles, depot: Depot) -> Claim:
    """Claim the study for this launch: the store knows of it before anything is done.

    Raises:
        UnreachableError: the store does not answer.
    """
    before = max(Claim.read(files.launch), claimed(files, depot))
    claim = Claim(before.number + 1, secrets.token_hex(8))
    if depot.url is not None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Depot(Path(folder) / files.name, depot.url)
            write_text_atomic(copy.root / files.launch.name, claim.text)
            copy.upload(copy.root / files.launch.name)
    write_text_atomic(files.launch, claim.text)
    return claim


def require_claim(own: Claim, files: StudyFiles, depot: Depot) -> None:
    """See to it that no later launch has begun.

    Raises:
        SupersededError: one has.
        UnreachableError: the store does not answer.
    """
    latest = claimed(files, depot)
    if latest != own and latest.number >= own.number:
        raise SupersededError(
            f"only one machine at a time may run a study, but {depot.location} was taken over by launch "
            f"{latest.number}, while this is launch {own.number}; what it reported since is in {files.root} alone and "
            "gives way on a resume to what the later launch has: let that one run, or end it first"
        )
