"""What follows from a certificate's measurements: ranks, rules and verdicts, by what it records alone; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.certificates.document import plain
from analysis.certificates.findings import BROKEN, KEPT, UNDECIDED, Findings
from analysis.certificates.rules import rules, verdict
from analysis.certificates.standings import standings
from tuning.goals import parse_constraint


def judged(part: Mapping[str, Any], names: Sequence[str], constraints: Sequence[str]) -> dict[str, Any]:
    """What follows from a part's measurements: ``standings``, ``rules``, ``outcome`` and ``verdict``, plain.

    Args:
        part: with ``metrics`` and ``membership``.
        names: of its forget images.
        constraints: the study's bounds, as texts.
    """
    found = plain(standings(part["membership"]["statistics"]))
    findings = Findings(part["metrics"], found["among_unseen"], part["membership"]["is_unseen"], names)
    decided = rules(findings, [parse_constraint(text) for text in constraints])
    outcome, sentence = verdict(decided)
    entries = [rule.as_plain() for rule in decided]
    return dict(plain({"standings": found, "rules": entries, "outcome": outcome, "verdict": sentence}))


def together(parts: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(outcome, sentence) over several forget sets: the worst of them.

    Raises:
        ValueError: there is no part, or an outcome is none of the three.
    """
    if len(parts) == 1:
        return parts[0]["outcome"], parts[0]["verdict"]
    worst = min((part["outcome"] for part in parts), key=(BROKEN, UNDECIDED, KEPT).index)
    those = [image["shown"] for part in parts if part["outcome"] == worst for image in part["images"]]
    head = {
        BROKEN: "For some images a rule is broken",
        UNDECIDED: "For some images evidence is not enough",
        KEPT: "No trace was found of any image",
    }[worst]
    return worst, f"{head}: {', '.join(those)}. Each image's model has a verdict of its own below."
