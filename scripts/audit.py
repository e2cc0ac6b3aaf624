"""Checks what the project depends on: licences against a list, and known vulnerabilities where their index answers.

python scripts/audit.py             # as `make audit`: exit status 1 for a licence off the list or a vulnerability
python scripts/audit.py --write     # as `make licences`: writes docs/licences.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # as a script, Python finds only what lies beside it

from scripts.audit_lib.distributions import required  # noqa: E402
from scripts.audit_lib.licences import licence_of, refused, table  # noqa: E402
from scripts.audit_lib.vulnerabilities import Verdict, audit  # noqa: E402

PAGE = ROOT / "docs" / "licences.md"


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Licences and vulnerabilities of what the project depends on.")
    parser.add_argument("--write", action="store_true", help="write docs/licences.md and check nothing")
    arguments, console = parser.parse_args(), Console(highlight=False, soft_wrap=True)
    distributions = required(ROOT / "requirements.txt")
    licences = {name: licence_of(name, distribution) for name, distribution in distributions.items()}
    if arguments.write:
        PAGE.write_text(table(licences), encoding="utf-8")
        console.print(f"{len(licences)} distributions: {PAGE}")
        return 0
    wrong = refused(licences)
    for name, licence in wrong.items():
        rule = "the licence of a dependency must be on the list of scripts/audit_lib/licences.py"
        console.print(f"{rule}, but {name} has {licence}: do without it, or add the licence", markup=False)
    console.print(f"licences: {len(licences)} distributions, {len(wrong)} off the list")
    verdict = audit({name: distribution.version for name, distribution in distributions.items()})
    _say(console, verdict)
    return 1 if wrong or verdict.vulnerable else 0


def _say(console: Console, verdict: Verdict) -> None:
    for line in verdict.vulnerable:
        console.print(f"a known vulnerability, {line}: raise the version in requirements.txt", markup=False)
    if verdict.asked:
        console.print(f"vulnerabilities: {verdict.asked} distributions asked for, {len(verdict.vulnerable)} vulnerable")
    if verdict.skipped:
        console.print(f"vulnerabilities, skipped: {verdict.skipped}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
