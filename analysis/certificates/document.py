"""A certificate as a file that shows whether it was changed: canonical form, hashes, reading and writing; no torch.

**Canonical form** of a value: JSON in UTF-8, keys sorted by code point, no space, ``,`` and ``:`` as separators, text
unescaped but for what JSON must escape, numbers as Python writes them (floats in their shortest form that reads back
exactly), and no NaN or infinity, which stand as the texts ``"nan"``, ``"inf"`` and ``"-inf"``. That is
``json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)``.

The file holds ``format``, ``content``, ``hashes``, ``page`` and ``seal``:

- ``hashes.content`` is the SHA-256 of the canonical form of ``content``, ``hashes.fields`` that of each field of it;
- ``page`` names the HTML page that was made of it, and its SHA-256;
- ``seal`` is the SHA-256 of the canonical form of all that stands before it, and so binds the page too.

It is written in one way only (`render`), so that every changed byte is noticed. A hash is no signature: who changes a
certificate can hash it anew. Publish the seal, or sign the file, where that matters.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FORMAT: Final = "data-unlearning-certificate/2"
_KEYS: Final = {"format", "content", "hashes", "page", "seal"}


class AlteredError(ValueError):
    """A file is no certificate as it was written; completes "FILE …"."""


def plain(value: Any) -> Any:
    """A value of mappings, lists, texts and numbers as the canonical form has it, by which it can be compared."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def number(value: Any) -> float:
    """A number as it was before `plain`; NaN for what is none.

    Raises:
        ValueError: a whole number is larger than any float, which no measurement is.
    """
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    try:
        return float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        raise ValueError(f"a number must fit a float, but one has {value.bit_length()} bits") from None


def canonical(value: Any) -> bytes:
    """The canonical form of a value that is `plain`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="surrogatepass")


def digest(value: Any) -> str:
    """SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()


@dataclass(frozen=True)
class Certificate:
    """What a file holds.

    Attributes:
        content: all that is certified; plain.
        page: ``name`` and ``sha256`` of the HTML page.
    """

    content: Mapping[str, Any]
    page: Mapping[str, str]

    @property
    def seal(self) -> str:
        """The one hash to publish: of the content and of the page."""
        return digest(self._sealed())

    def render(self) -> str:
        """The file's text."""
        document = {**self._sealed(), "seal": self.seal}
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _sealed(self) -> dict[str, Any]:
        content = plain(self.content)
        return {
            "format": FORMAT,
            "content": content,
            "hashes": {"content": digest(content), "fields": {name: digest(of) for name, of in content.items()}},
            "page": dict(self.page),
        }


def read(path: Path) -> Certificate:
    """A certificate that nobody has changed.

    Raises:
        OSError: it cannot be read.
        AlteredError: it was changed, or is none; names what disagrees as far as that can be told.
    """
    data = path.read_bytes()
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AlteredError(f"is no JSON any more: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("content"), dict):
        raise AlteredError("is no certificate: it has no content")
    try:
        faults = _faults(document)
        found = Certificate(document["content"], document.get("page") or {})
        whole = not faults and found.render().encode() == data
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise AlteredError(f"is no certificate as it was written: {error}") from None
    if faults:
        raise AlteredError("does not agree with its hashes: " + "; ".join(faults))
    if not whole:
        raise AlteredError("agrees with its hashes, but is not laid out as it was written: bytes were changed between")
    return found


def _faults(document: Mapping[str, Any]) -> list[str]:
    """What of a document disagrees with its hashes."""
    content, hashes = document["content"], document.get("hashes") or {}
    fields = hashes.get("fields") or {}
    faults = [f"the hash of content.{name} is {digest(of)}, but {fields.get(name)!r} stands in hashes.fields"
              for name, of in content.items() if digest(of) != fields.get(name)]  # fmt: skip
    faults += [f"content.{name} is gone" for name in fields if name not in content]
    if digest(content) != hashes.get("content"):
        faults.append(f"the hash of content is {digest(content)}, but {hashes.get('content')!r} stands in hashes")
    if document.get("format") != FORMAT:
        faults.append(f"format is {document.get('format')!r}, not {FORMAT!r}: check it with the version that wrote it")
    if unknown := sorted(set(document) ^ _KEYS):
        faults.append(f"keys must be {', '.join(sorted(_KEYS))}, but {', '.join(unknown)} is gone or new")
    rest = {name: of for name, of in document.items() if name != "seal"}
    if digest(rest) != document.get("seal"):
        faults.append("the seal does not agree with what stands before it")
    return faults
