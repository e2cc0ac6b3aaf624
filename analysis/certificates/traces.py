"""Does a forget image stand out among unseen ones, as known or as driven away from? Two rules; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from analysis.certificates.findings import BROKEN, KEPT, LEVEL, UNDECIDED, Findings, Rule
from analysis.certificates.standings import UNLEARNED
from metrics.membership_inference import images_needed
from tuning.baseline import RETRAINED, UNTOUCHED

KNOWN: Final = "membership"
ESTRANGED: Final = "over-forgetting"


def known(findings: Findings) -> Rule:
    """Does the image stand out as one that the model knows?"""
    needed, level = images_needed(findings.level), findings.level
    rule = (
        "In no statistic may a forget image be known to the unlearned model so much better than unseen images that "
        f"its p-value is {level:.3g} or less ({LEVEL:g} shared over {_tests(findings)}). At least {needed} unseen "
        "images are needed, and the test must find the image in the untouched model. What stands out in the retrained "
        "model as well is no memory."
    )
    outcome, finding = _trace(findings, "known")
    return Rule(KNOWN, rule, finding, outcome, _numbers(findings, "known", needed))


def estranged(findings: Findings) -> Rule:
    """Does the image stand out as one that the model was driven away from?"""
    needed, level = images_needed(findings.level), findings.level
    rule = (
        f"In no statistic may a forget image be so much less likely than unseen images that its p-value is {level:.3g} "
        f"or less ({LEVEL:g} shared over {_tests(findings)}). At least {needed} unseen images are needed. What stands "
        "out in the untouched or the retrained model as well was not made by unlearning."
    )
    outcome, finding = _trace(findings, "estranged")
    return Rule(ESTRANGED, rule, finding, outcome, _numbers(findings, "estranged", needed))


def _tests(findings: Findings) -> str:
    images = "" if len(findings.names) == 1 else f" and {len(findings.names)} images"
    return f"{len(findings.among_unseen)} statistics{images}"


def _numbers(findings: Findings, tail: str, needed: int) -> dict[str, Any]:
    models = (UNTOUCHED, UNLEARNED, RETRAINED)
    values = {model: found for model in models if (found := findings.p_values(model, tail))}
    return {"level": findings.level, "num_unseen": findings.num_unseen, "needed": needed, "p_values": values}


def _trace(findings: Findings, tail: str) -> tuple[str, str]:
    """(outcome, finding) of the test of one tail."""
    is_known = tail == "known"
    words = "better known than unseen images" if is_known else "less likely than unseen images"
    needed = images_needed(findings.level)
    if findings.num_unseen < needed:
        return UNDECIDED, (
            f"Whether the image is {words} cannot be told: there are {findings.num_unseen} unseen images, and "
            f"{needed} are needed for a p-value of {findings.level:.3g}."
        )
    values = [value for of in findings.p_values(UNLEARNED, tail).values() for value in of]
    if any(map(math.isnan, values)):
        return UNDECIDED, "The unlearned model's answers are not finite, so that nothing can be compared."
    found = findings.found(UNLEARNED, tail)
    others = (RETRAINED,) if is_known else (RETRAINED, UNTOUCHED)
    elsewhere = {key: model for model in others for key in findings.found(model, tail)}
    own = [key for key in found if key not in elsewhere]
    if own and (is_known or findings.is_unseen):
        return BROKEN, f"In the unlearned model {_which(findings, own, found)} is {words}."
    if own:
        return UNDECIDED, (
            f"{_as_start(_which(findings, own, found))} is {words}, but unlearning trained on those, which makes "
            "them better known."
        )
    if found:
        key = next(iter(found))
        return UNDECIDED, (
            f"{_as_start(_which(findings, list(found), found))} is {words} in the unlearned model, but in the "
            f"{elsewhere[key]} model as well: that tells nothing about unlearning."
        )
    return _nothing_found(findings, words) if is_known else (KEPT, f"The image is not {words}: {_least(values)}.")


def _nothing_found(findings: Findings, words: str) -> tuple[str, str]:
    """Not to have found memory counts only where memory would have been found."""
    values = [value for of in findings.p_values(UNLEARNED, "known").values() for value in of]
    if not findings.is_unseen:
        return UNDECIDED, (
            f"The image is not {words}, {_least(values)}, but unlearning trained on those, which makes them better "
            "known; images that no training saw would tell more."
        )
    seen = {image for _, image in findings.found(UNTOUCHED, "known")}
    missed = [name for image, name in enumerate(findings.names) if image not in seen]
    if missed:
        return UNDECIDED, (
            f"The test finds {', '.join(missed)} not even in the untouched model, so that it says nothing when it does "
            "not in the unlearned one."
        )
    return KEPT, f"The image is not {words}, {_least(values)}; in the untouched model the same test finds it."


def _which(findings: Findings, keys: Sequence[tuple[str, int]], values: Mapping[tuple[str, int], float]) -> str:
    """The images and statistics of some p-values, in words."""
    images = list(dict.fromkeys(findings.names[image] for _, image in keys))
    by = ", ".join(f"{statistic} p = {values[statistic, image]:.3g}" for statistic, image in keys)
    return f"{'the image' if len(findings.names) == 1 else ', '.join(images)} ({by})"


def _as_start(text: str) -> str:
    """A text as a sentence begins; names in it keep their capitals, which `str.capitalize` would take from them."""
    return text[:1].upper() + text[1:]


def _least(values: Sequence[float]) -> str:
    return f"the smallest p-value being {min(values):.3g}"
