"""Does a forget image stand out among unseen ones, as known or as driven away from? Two rules; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from analysis.certificates.evidence import BROKEN, KEPT, LEVEL, UNDECIDED, Evidence, Rule
from analysis.certificates.standings import UNLEARNED
from metrics.membership_inference import images_needed
from tuning.baseline import RETRAINED, UNTOUCHED

KNOWN: Final = "membership"
ESTRANGED: Final = "over-forgetting"


def known(evidence: Evidence) -> Rule:
    """Does the image stand out as one that the model knows?"""
    needed, level = images_needed(evidence.level), evidence.level
    rule = (
        "In no statistic may a forget image be known to the unlearned model so much better than unseen images that "
        f"its p-value is {level:.3g} or less ({LEVEL:g} shared over {_tests(evidence)}). At least {needed} unseen "
        "images are needed, and the test must find the image in the untouched model. What stands out in the retrained "
        "model as well is no memory."
    )
    outcome, finding = _trace(evidence, "known")
    return Rule(KNOWN, rule, finding, outcome, _numbers(evidence, "known", needed))


def estranged(evidence: Evidence) -> Rule:
    """Does the image stand out as one that the model was driven away from?"""
    needed, level = images_needed(evidence.level), evidence.level
    rule = (
        f"In no statistic may a forget image be so much less likely than unseen images that its p-value is {level:.3g} "
        f"or less ({LEVEL:g} shared over {_tests(evidence)}). At least {needed} unseen images are needed. What stands "
        "out in the untouched or the retrained model as well was not made by unlearning."
    )
    outcome, finding = _trace(evidence, "estranged")
    return Rule(ESTRANGED, rule, finding, outcome, _numbers(evidence, "estranged", needed))


def _tests(evidence: Evidence) -> str:
    images = "" if len(evidence.names) == 1 else f" and {len(evidence.names)} images"
    return f"{len(evidence.among_unseen)} statistics{images}"


def _numbers(evidence: Evidence, tail: str, needed: int) -> dict[str, Any]:
    models = (UNTOUCHED, UNLEARNED, RETRAINED)
    values = {model: found for model in models if (found := evidence.p_values(model, tail))}
    return {"level": evidence.level, "num_unseen": evidence.num_unseen, "needed": needed, "p_values": values}


def _trace(evidence: Evidence, tail: str) -> tuple[str, str]:
    """(outcome, finding) of the test of one tail."""
    is_known = tail == "known"
    words = "better known than unseen images" if is_known else "less likely than unseen images"
    needed = images_needed(evidence.level)
    if evidence.num_unseen < needed:
        return UNDECIDED, (
            f"Whether the image is {words} cannot be told: there are {evidence.num_unseen} unseen images, and "
            f"{needed} are needed for a p-value of {evidence.level:.3g}."
        )
    values = [value for of in evidence.p_values(UNLEARNED, tail).values() for value in of]
    if any(map(math.isnan, values)):
        return UNDECIDED, "The unlearned model's answers are not finite, so that nothing can be compared."
    found = evidence.found(UNLEARNED, tail)
    others = (RETRAINED,) if is_known else (RETRAINED, UNTOUCHED)
    elsewhere = {key: model for model in others for key in evidence.found(model, tail)}
    own = [key for key in found if key not in elsewhere]
    if own and (is_known or evidence.is_unseen):
        return BROKEN, f"In the unlearned model {_which(evidence, own, found)} is {words}."
    if own:
        return UNDECIDED, (
            f"{_which(evidence, own, found).capitalize()} is {words}, but unlearning trained on those, which makes "
            "them better known."
        )
    if found:
        key = next(iter(found))
        return UNDECIDED, (
            f"{_which(evidence, list(found), found).capitalize()} is {words} in the unlearned model, but in the "
            f"{elsewhere[key]} model as well: that tells nothing about unlearning."
        )
    return _nothing_found(evidence, words) if is_known else (KEPT, f"The image is not {words}: {_least(values)}.")


def _nothing_found(evidence: Evidence, words: str) -> tuple[str, str]:
    """Not to have found memory counts only where memory would have been found."""
    values = [value for of in evidence.p_values(UNLEARNED, "known").values() for value in of]
    if not evidence.is_unseen:
        return UNDECIDED, (
            f"The image is not {words}, {_least(values)}, but unlearning trained on those, which makes them better "
            "known; images that no training saw would tell more."
        )
    seen = {image for _, image in evidence.found(UNTOUCHED, "known")}
    missed = [name for image, name in enumerate(evidence.names) if image not in seen]
    if missed:
        return UNDECIDED, (
            f"The test finds {', '.join(missed)} not even in the untouched model, so that it says nothing when it does "
            "not in the unlearned one."
        )
    return KEPT, f"The image is not {words}, {_least(values)}; in the untouched model the same test finds it."


def _which(evidence: Evidence, keys: Sequence[tuple[str, int]], values: Mapping[tuple[str, int], float]) -> str:
    """The images and statistics of some p-values, in words."""
    images = list(dict.fromkeys(evidence.names[image] for _, image in keys))
    by = ", ".join(f"{statistic} p = {values[statistic, image]:.3g}" for statistic, image in keys)
    return f"{'the image' if len(evidence.names) == 1 else ', '.join(images)} ({by})"


def _least(values: Sequence[float]) -> str:
    return f"the smallest p-value being {min(values):.3g}"
