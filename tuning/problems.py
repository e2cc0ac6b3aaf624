"""What is wrong with a configuration, said so that it can be put right: rule, value, remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A password may hold anything, also a space or an unescaped "@", so that it ends at the last "@" there is.
_USERINFO = re.compile(r"(?P<head>[A-Za-z][\w+.-]*://[^:/?#@\s]*):.+@", re.DOTALL)
_PARAMETER = re.compile(
    r"(?P<head>(?:password|passwd|pwd|secret\w*|access_key|session_token|token)=)[^&\s'\"]+", re.IGNORECASE
)

#: Characters of a rule, value or remedy, and problems, that are shown.
_LONGEST, _MOST = 2000, 50


def redact(text: str) -> str:
    """`text` with the passwords of the URLs in it replaced by stars; rather too much than too little."""
    return _PARAMETER.sub(r"\g<head>***", _USERINFO.sub(r"\g<head>:***@", text))


def has_password(url: str) -> bool:
    """Whether a URL carries a password: ``user:secret@host``, also unescaped, or ``?password=secret`` and the like.

    libpq's ``host=… password=…`` is no URL, and refused all the same.
    """
    return bool(_USERINFO.search(url) or _PARAMETER.search(url))


def closest(name: str, known: Iterable[str]) -> str:
    """`known` as a remedy: the nearest match if there is one, else all of them."""
    names = list(known)
    match = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {match[0]!r}?" if match else f"use one of: {', '.join(names)}"


@dataclass(frozen=True)
class Problem:
    """One rule that the configuration breaks.

    Args:
        rule: what must hold.
        value: what was given; kept as text, with stars in the place of passwords.
        remedy: what to do.
    """

    rule: str
    value: object
    remedy: str

    def __post_init__(self) -> None:
        for name in ("rule", "value", "remedy"):
            given = getattr(self, name)
            object.__setattr__(self, name, _shown(redact(given if isinstance(given, str) else _text(given))))

    def __str__(self) -> str:
        return f"{self.rule}, but got {self.value or '(empty)'}: {self.remedy}"


def _text(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        return f"a {type(value).__name__} that cannot be shown ({error})"


def _shown(text: str) -> str:
    """The beginning and the end of what is too long to be read."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"


class ConfigError(ValueError):
    """Everything that is wrong with a configuration, found in one pass.

    Args:
        problems: at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        head = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"  {number}. {problem}" for number, problem in enumerate(self.problems[:_MOST], start=1)]
        if len(self.problems) > _MOST:
            lines.append(f"  and {len(self.problems) - _MOST} more")
        super().__init__("\n".join([f"The configuration has {head}; nothing was started or written.", *lines]))
