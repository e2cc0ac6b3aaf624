"""Known vulnerabilities of the distributions, by pip-audit; where the index cannot be asked that is said, no error."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: pip-audit asks for each distribution anew; together they take seconds where the index answers.
SECONDS = 20
_COMMAND = (sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off")
_OPTIONS = ("--format", "json", "--timeout", "5")


@dataclass(frozen=True)
class Verdict:
    """What pip-audit found.

    Attributes:
        vulnerable: ``name version: advisories``, one a vulnerable distribution.
        asked: distributions that the index knows.
        skipped: why nothing, or not everything, was asked; empty where everything was.
    """

    vulnerable: tuple[str, ...] = ()
    asked: int = 0
    skipped: str = ""


def audit(versions: Mapping[str, str], seconds: float = SECONDS) -> Verdict:
    """Asks for each name and version, ``seconds`` at most; no failure of the network is an error."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{name}=={version.partition('+')[0]}\n" for name, version in versions.items()))
        try:
            ended = subprocess.run(
                [*_COMMAND, *_OPTIONS, "-r", str(file)], capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return Verdict(skipped=f"the index of vulnerabilities did not answer in {seconds:g} seconds")
    return read(ended.stdout, ended.stderr)


def read(output: str, errors: str = "") -> Verdict:
    """The verdict of what pip-audit wrote."""
    try:
        entries: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = errors.strip().splitlines() or ["pip-audit wrote nothing"]
        return Verdict(skipped=f"the index of vulnerabilities cannot be asked: {lines[-1][:200]}")
    asked = [entry for entry in entries if "skip_reason" not in entry]
    found = {f"{e['name']} {e['version']}": [v["id"] for v in e["vulns"]] for e in asked if e["vulns"]}
    vulnerable = tuple(f"{name}: {', '.join(advisories)}" for name, advisories in found.items())
    if not asked:
        return Verdict(skipped="the index of vulnerabilities knows none of them, or cannot be reached")
    unknown = len(entries) - len(asked)
    return Verdict(vulnerable, len(asked), f"{unknown} distributions are not in the index" if unknown else "")
