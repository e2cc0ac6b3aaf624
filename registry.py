"""Names to implementations, imported only when asked for.

Listing the names of a registry imports nothing, so that ``--help`` and configuration checks stay free of torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping from a name to the object behind ``"module:attribute"``.

    A key with a colon that is not registered, ``"package.module:Class"``, is imported as it stands. This is how an
    implementation outside the repository is used.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self._kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        target = self._entries.get(name, name)
        if ":" not in target:
            raise KeyError(f"a {self._kind} must be one of {', '.join(self)} or package.module:Name, but got {name!r}")
        module, _, attribute = target.partition(":")
        value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
        return cast(T, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
