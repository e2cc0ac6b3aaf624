"""The audit of what the project depends on: what it refuses, and that a network that fails is no error."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from scripts.audit_lib import vulnerabilities
from scripts.audit_lib.distributions import required
from scripts.audit_lib.licences import licence_of, refused
from scripts.audit_lib.vulnerabilities import Verdict, audit, read

ROOT = Path(__file__).resolve().parents[2]


def distribution(*lines: str) -> metadata.Distribution:
    class Written(metadata.Distribution):
        def read_text(self, filename: str) -> str:
            return "\n".join(["Metadata-Version: 2.4", "Name: x", "Version: 1", *lines]) + "\n"

        def locate_file(self, path: object) -> Path:
            raise NotImplementedError

    return Written()


@pytest.mark.parametrize(
    ("lines", "licence", "is_allowed"),
    [
        (["License-Expression: Apache-2.0 OR GPL-3.0-only"], "Apache-2.0 OR GPL-3.0-only", True),
        (["License-Expression: MIT AND GPL-3.0-only"], "MIT AND GPL-3.0-only", False),
        (["License-Expression: AGPL-3.0-or-later"], "AGPL-3.0-or-later", False),
        (["License: Apache License, Version 2.0"], "Apache-2.0", True),
        (["License: Copyright 2018 Somebody", "Classifier: License :: OSI Approved :: BSD License"], "BSD", True),
        (["Classifier: License :: Other/Proprietary License"], "Other/Proprietary License", False),
        (["Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)"],
         "GNU General Public License v3 (GPLv3)", False),
        ([], "unknown", False),
    ],
)  # fmt: skip
def test_licences(lines: list[str], licence: str, is_allowed: bool) -> None:
    assert licence_of("x", distribution(*lines)) == licence
    assert bool(refused({"x": licence})) is not is_allowed


def test_what_is_required_is_followed_with_its_extras() -> None:
    found = required(ROOT / "requirements.txt")
    assert {"torch", "ray", "aiohttp", "tensorboardx", "sympy", "alembic"} <= set(found)
    assert "pytest" not in found


def test_the_page_names_what_the_project_asks_for() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.partition("=")[0].partition("[")[0].lower() for line in lines]
    assert not [name for name in names if f"| {name} |" not in page], "run make licences"


def entry(name: str, *advisories: str) -> dict[str, object]:
    return {"name": name, "version": "1", "vulns": [{"id": advisory} for advisory in advisories]}


def test_verdicts() -> None:
    away = {"name": "z", "skip_reason": "Dependency not found on PyPI"}
    found = read(json.dumps({"dependencies": [entry("x"), entry("y", "PYSEC-1", "PYSEC-2"), away]}))
    assert found == Verdict(("y 1: PYSEC-1, PYSEC-2",), 2, "1 distributions are not in the index")
    assert read(json.dumps({"dependencies": [away]})).skipped.endswith("knows none of them, or cannot be reached")
    broken = read("", "Traceback …\nConnectionError: no route")
    assert broken == Verdict(skipped="the index of vulnerabilities cannot be asked: ConnectionError: no route")


def test_an_index_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulnerabilities, "_COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    assert "did not answer in 0.5 seconds" in audit({"x": "1"}, 0.5).skipped


def test_the_command_passes_without_a_network() -> None:
    """Through a proxy that nobody serves."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    words = [sys.executable, str(ROOT / "scripts" / "audit.py")]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, env=nowhere)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 off the list" in ended.stdout
    assert "vulnerabilities, skipped: the index of vulnerabilities" in ended.stdout
