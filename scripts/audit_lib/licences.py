"""Under which licences the distributions are, as they say themselves, and whether the project may depend on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageMetadata

#: Licences that a dependency may have, SPDX identifiers. The LGPL binds who changes or links statically such a library;
#: it is imported as it comes. NVIDIA's are those of the CUDA libraries, which come with torch and may be passed on.
ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC",
        "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0",
        "Python-2.0", "Unlicense", "Zlib", "LLVM-exception", "LicenseRef-NVIDIA-Proprietary",
    }
)  # fmt: skip
#: Licences of distributions whose metadata do not say it: read off the licence file that each carries; that of the last
#: one, which carries none and only names NVIDIA's libraries, is theirs.
STATED: Mapping[str, str] = {"huey": "MIT", "skops": "MIT", "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary"}
_UNKNOWN = "unknown"
#: What older metadata call a licence, a pattern for the whole text → SPDX identifier.
_NAMES = (
    (r"apache([ -]software)?( licen[cs]e)?,?( version)?[ -]?(2|2\.0)?( licen[cs]e)?", "Apache-2.0"),
    (r"mit( licen[cs]e)?", "MIT"),
    (r"(the )?(3-clause bsd|bsd[ -]3-clause|new bsd)( licen[cs]e)?", "BSD-3-Clause"),
    (r"(2-clause bsd|bsd[ -]2-clause)( licen[cs]e)?", "BSD-2-Clause"),
    (r"bsd( licen[cs]e)?", "BSD"),
    (r"isc( licen[cs]e)?( \(iscl\))?", "ISC"),
    (r"(python software foundation licen[cs]e|psf-2\.0|psf)", "PSF-2.0"),
    (r"(mozilla public licen[cs]e 2\.0 \(mpl 2\.0\)|mpl-2\.0)", "MPL-2.0"),
    (r"nvidia proprietary software", "LicenseRef-NVIDIA-Proprietary"),
)


def _field(metadata: PackageMetadata, name: str) -> str:
    """A field of a distribution; empty where it has none."""
    return str(next(iter(metadata.get_all(name) or ()), ""))


def licence_of(name: str, distribution: Distribution) -> str:
    """An SPDX expression: what a distribution states, else its field of old by a known name, else its classifiers."""
    metadata = distribution.metadata
    if name in STATED:
        return STATED[name]
    if expression := _field(metadata, "License-Expression"):
        return expression
    text = _field(metadata, "License").strip()
    if _is_allowed(_named(text)):
        return _named(text)
    classifiers = [value for value in metadata.get_all("Classifier") or [] if value.startswith("License ::")]
    names = [_named(value.rpartition(" :: ")[2]) for value in classifiers]
    return " OR ".join(names) or (text.splitlines()[0][:60] if text else _UNKNOWN)


def _named(text: str) -> str:
    """The identifier of a licence by one of its names; other text as it stands."""
    return next((spdx for pattern, spdx in _NAMES if re.fullmatch(pattern, text, re.IGNORECASE)), text)


def _is_allowed(expression: str) -> bool:
    """Whether all licences of an expression are allowed; of alternatives one must be."""
    choices = re.split(r"\s+OR\s+", expression.replace("(", "").replace(")", ""))
    parts = [re.split(r"\s+(?:AND|WITH)\s+", choice) for choice in choices]
    return any(all(part.strip() in ALLOWED for part in choice) for choice in parts)


def refused(licences: Mapping[str, str]) -> dict[str, str]:
    """Those of name → licence that are not on the list."""
    return {name: licence for name, licence in licences.items() if not _is_allowed(licence)}


def table(licences: Mapping[str, str]) -> str:
    """The text of ``docs/licences.md``."""
    head = (
        "# Licences\n\nWhat the project runs with, and under which licence by its own metadata. Written by "
        "`make licences`; `make audit` refuses any licence\nthat is not on the list of `scripts/audit_lib/licences.py`."
        "\n\n| distribution | licence |\n|---|---|\n"
    )
    return head + "".join(f"| {name} | {licence} |\n" for name, licence in licences.items())
