"""What is concluded from what a certificate measured: stated rules, each with its numbers; no torch.

A rule is kept, broken, or not decided where evidence is not enough. One that is broken decides; of the others one that
is not decided does. Levels are chosen, not measured, and stand in every rule that uses them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from analysis.certificates.document import number
from analysis.certificates.findings import BROKEN, KEPT, UNDECIDED, Findings, Rule
from analysis.certificates.intervals import Z95
from analysis.certificates.standings import UNLEARNED
from analysis.certificates.traces import ESTRANGED, KNOWN, estranged, known
from tuning.baseline import RETRAINED, UNTOUCHED
from tuning.constraints import RATIO_STDERR, margin_in_stderr
from tuning.goals import Constraint

#: Share of generated images that may be copies, by the upper end of its 95% interval.
MOST_COPIES: Final = 0.01
#: Part of the way from the untouched to the retrained model's SSCD that may be left.
WAY_LEFT: Final = 0.1
_NUM_STDERR: Final = 2.0
_COPIES: Final = ("regeneration_rate", "copied_share")
_RESEMBLANCE: Final = "resemblance"
_OF_MEMORY: Final = (KNOWN, _RESEMBLANCE, *_COPIES)


def rules(findings: Findings, constraints: Sequence[Constraint]) -> list[Rule]:
    """All rules, each decided."""
    found = [known(findings), estranged(findings)]
    found += [_copies(findings, metric) for metric in _COPIES
              if metric in findings.measured[UNLEARNED]]  # fmt: skip
    if "sscd" in findings.measured.get(RETRAINED, {}):
        found.append(_resemblance(findings))
    return found + [_bound(findings, constraint) for constraint in constraints]


def verdict(decided: Sequence[Rule]) -> tuple[str, str]:
    """(outcome, a sentence in plain words) of all rules together."""
    broken = [rule for rule in decided if rule.outcome == BROKEN]
    open_ones = [rule for rule in decided if rule.outcome == UNDECIDED]
    found = " ".join(rule.finding for rule in (broken or open_ones))
    if any(rule.name in _OF_MEMORY for rule in broken):
        return BROKEN, f"Not forgotten: the model still shows what it was to forget. {found}"
    if any(rule.name == ESTRANGED for rule in broken):
        return BROKEN, f"Forgotten so strongly that it shows: over-forgetting is a trace as well. {found}"
    if broken:
        return BROKEN, f"No sign of memory was found, but a bound of the study is not kept. {found}"
    if open_ones:
        return UNDECIDED, f"Not enough evidence for a verdict. {found}"
    return KEPT, "No trace was found: every rule below is kept. What that does not prove is said below as well."


def _copies(findings: Findings, metric: str) -> Rule:
    """Does the model still draw the image on its own?"""
    value, count = findings.value(UNLEARNED, metric), int(findings.value(UNLEARNED, metric, "num") or 0)
    high, low = findings.value(UNLEARNED, metric, "high"), findings.value(UNLEARNED, metric, "low")
    beyond = findings.value(RETRAINED, metric, "high") if findings.value(RETRAINED, metric) > 0 else -math.inf
    needed = math.ceil(Z95**2 * (1 - MOST_COPIES) / MOST_COPIES)
    rule = (
        f"No generated image may be a copy by {metric}, of so many that at most {MOST_COPIES:.0%} can be by a 95% "
        f"interval: {needed}. Copies are no memory where the retrained model makes as many."
    )
    numbers = {"value": value, "low": low, "high": high, "num_images": count, "needed": needed}
    if math.isnan(value):
        return Rule(metric, rule, "Generated images are not finite.", UNDECIDED, numbers)
    copies = round(value * count)
    drawn = f"{copies} of {count} generated images {'is a copy' if copies == 1 else 'are copies'} of a forget image"
    if copies and low > beyond:
        return Rule(metric, rule, f"{drawn}.", BROKEN, numbers)
    if copies:
        return Rule(metric, rule, f"{drawn}, but the retrained model makes such too.", UNDECIDED, numbers)
    if not high <= MOST_COPIES:
        finding = f"{drawn}, of which at most {high:.2%} can be; {needed} images are needed to say {MOST_COPIES:.0%}."
        return Rule(metric, rule, finding, UNDECIDED, numbers)
    return Rule(metric, rule, f"{drawn}, of which at most {high:.2%} can be.", KEPT, numbers)


def _resemblance(findings: Findings) -> Rule:
    """Does the unlearned model restore the image better than one that never saw it?"""
    before, after, goal = (findings.value(model, "sscd") for model in (UNTOUCHED, UNLEARNED, RETRAINED))
    errors = [findings.value(model, "sscd", "stderr") for model in (UNTOUCHED, UNLEARNED, RETRAINED)]
    rule = (
        f"Of the way from the untouched model's SSCD to the retrained one's, at most {WAY_LEFT:.0%} may be left, by a "
        "95% interval; measured on equal noises, errors taken as if they were independent."
    )
    way = before - goal
    left = (after - goal) / way if way else math.nan
    # The error of after − goal − WAY_LEFT × way, in parts of the way.
    error = math.hypot(errors[1], (1 - WAY_LEFT) * errors[2], WAY_LEFT * errors[0]) / abs(way) if way else math.nan
    numbers = {"untouched": before, "unlearned": after, "retrained": goal, "left": left, "stderr": error}
    if not way > Z95 * math.hypot(errors[0], errors[2]) or math.isnan(left + error):
        finding = "By SSCD the untouched model cannot be told from the retrained one, so that nothing is to be seen."
        return Rule(_RESEMBLANCE, rule, finding, UNDECIDED, numbers)
    measured = f"{left:.1%} ± {error:.1%}"
    finding = f"By SSCD {f'none of the way is left ({measured})' if left <= 0 else f'{measured} of the way is left'}."
    if left + Z95 * error <= WAY_LEFT:
        return Rule(_RESEMBLANCE, rule, finding, KEPT, numbers)
    if left - Z95 * error > WAY_LEFT:
        return Rule(_RESEMBLANCE, rule, finding, BROKEN, numbers)
    more = f"{finding} More denoisings would decide (final_num_denoisings)."
    return Rule(_RESEMBLANCE, rule, more, UNDECIDED, numbers)


def _bound(findings: Findings, constraint: Constraint) -> Rule:
    """Is a bound of the study kept on these seeds as well?"""
    metric = constraint.metric
    untouched = {name: number(of["value"]) for name, of in findings.measured[UNTOUCHED].items()}
    entries = findings.measured[UNLEARNED].get(metric, {})
    report = {metric: number(entries.get("value")), f"{metric}_stderr": number(entries.get("stderr"))}
    if "ratio_stderr" in entries:
        report[metric + RATIO_STDERR] = number(entries["ratio_stderr"])
    margin = margin_in_stderr(report, constraint, untouched)
    rule = f"The study's bound {constraint} must be kept by {_NUM_STDERR:g} standard errors, on the seeds of here."
    of = f", untouched {untouched[metric]:.4g}" if constraint.relative else ""
    numbers = {"value": report[metric], "untouched": untouched.get(metric), "margin_in_stderr": margin}
    if math.isnan(margin):
        return Rule(f"bound {constraint}", rule, f"{metric} was not measured.", UNDECIDED, numbers)
    side = "inside" if margin >= 0 else "outside"
    finding = f"{metric} is {report[metric]:.4g}{of}: {abs(margin):.1f} standard errors {side} the bound."
    outcome = KEPT if margin >= _NUM_STDERR else BROKEN if margin <= -_NUM_STDERR else UNDECIDED
    return Rule(f"bound {constraint}", rule, finding, outcome, numbers)
