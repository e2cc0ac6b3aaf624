"""Checks a certificate's page: is it as it was written, and does it say what the file says? No torch.

A page whose hash stands in the file may say anything: who changes it can put its new hash there. So it is made anew of
the content. Another version of the code, of what draws, or another processor may make another page of the same content:
then it cannot be told whether a difference is one of versions, which is said, and neither held for a forgery nor for
sound. The seal of the file is over the page's hash, so that a seal that was published binds the page in any version.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.certificates.check import UNREADABLE, Check
from analysis.certificates.document import Certificate
from analysis.certificates.page import certificate_page
from analysis.certificates.page_versions import page_versions
from trainable.content import file_digest
from tuning.versions import differences


def page_check(certificate: Certificate, path: Path) -> Check:
    """Whether the page beside the file is the one that was made with it, and of its content."""
    name = Path(str(certificate.page.get("name") or "")).name
    if not name:
        return Check("page", None, "the file names no page")
    page = path.parent / name
    if not page.is_file():
        return Check("page", None, f"{name} is not beside the file")
    if file_digest(page) != certificate.page.get("sha256"):
        return Check("page", False, f"{name} is not as it was written")
    try:
        return _compared(certificate.content, page)
    except UNREADABLE as error:
        return Check("page", False, f"no page can be made of this content: {error!r}")


def _compared(content: Mapping[str, Any], page: Path) -> Check:
    if certificate_page(content).encode() == page.read_bytes():
        return Check("page", True, f"{page.name} is as it was written, and says what the file says")
    then, now = content["made"]["page"], page_versions()
    if then == now:
        return Check("page", False, f"{page.name} is not what its content makes: it says something else than the file")
    changed = ", ".join(differences(then, now)) or "what made it is not named"
    return Check(
        "page", None, f"{page.name} was made by another version, of which this one cannot tell whether it says what "
        f"the file says ({changed}): compare the seal with the published one, or check it by the version that made it"
    )  # fmt: skip
