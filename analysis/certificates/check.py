"""One thing that was looked at when a certificate was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from analysis.certificates.document import digest

#: What reading a content raises that is not laid out as a certificate's: it may come from anywhere.
UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: in a few words.
        holds: None where it could not be looked at.
        text: what was found.
    """

    what: str
    holds: bool | None
    text: str


def same_check(what: str, recorded: Any, now: Any) -> Check:
    """Whether something is as it was when it was measured."""
    if recorded == now:
        return Check(what, True, "is what was measured")
    return Check(what, False, "is not what was measured: " + _difference(recorded, now))


def _difference(recorded: Any, now: Any) -> str:
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        files = [of["files"] if isinstance(of.get("files"), Mapping) else of for of in (recorded, now)]
        names = [name for name in dict.fromkeys([*files[0], *files[1]]) if files[0].get(name) != files[1].get(name)]
        return "another " + ", ".join(map(str, names[:4])) if names else "other weights"
    return f"SHA-256 {_short(recorded)} then, {_short(now)} now"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else "none" if value is None else digest(value)
    return text[:16]
