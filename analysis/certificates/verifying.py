"""Checks a certificate by itself: do its conclusions follow from what it records? Needs neither study nor torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from analysis.certificates.check import UNREADABLE, Check
from analysis.certificates.concluding import judged, together
from analysis.certificates.document import number
from analysis.certificates.intervals import OWN, interval_entries
from analysis.certificates.limits import limits
from analysis.certificates.making import NUM_NONCES, SEED_RULE, known_by, shown_name
from analysis.certificates.standings import IMAGES, LOSS, NLL, UNLEARNED
from tuning.versions import differences, versions

#: How far a number that is worked out again may lie off, in parts of itself.
OF_ROUNDING: Final = 1e-9
#: Steps and images are fewer.
_MOST: Final = 2**31
#: What a rule says in words.
_SAID: Final = ("name", "rule", "finding", "outcome")
#: What a content has, all of it and no more: what nobody looks at could say anything.
_FIELDS: Final = frozenset((
    "outcome", "verdict", "study", "made", "asked", "chosen", "models", "inputs", "seeds", "measured_with", "labels",
    "directions", "parts", "limits",
))  # fmt: skip


def conclusions_check(content: Mapping[str, Any]) -> Check:
    """Whether ranks, rules, verdicts, intervals and limits follow from the statistics and measurements recorded."""
    try:
        _look_at_all(content)
        faults = list(_wrong_conclusions(content))
    except UNREADABLE as error:
        return Check("conclusions", False, f"the content is not laid out as a certificate's: {error!r}")
    text = "ranks, rules, verdict and limits follow from what was measured"
    return Check("conclusions", not faults, "; ".join(faults) or text)


def claims_check() -> Check:
    """What stands in every certificate and can be checked by nobody."""
    return Check(
        "claims", None, "when and on what it was measured, by which versions, whether its nonce was drawn by chance "
        "and why this model was chosen is what its maker says"
    )  # fmt: skip


def version_checks(content: Mapping[str, Any]) -> list[Check]:
    """That it was made by another version, which may say the same in other words; empty where it was not."""
    try:
        changed = differences(content["made"]["versions"], versions())
    except UNREADABLE:
        return []
    told = f"was made by another version ({', '.join(changed)}), whose words can differ: check it with that one too"
    return [Check("version", None, told)] if changed else []


def _look_at_all(content: Mapping[str, Any]) -> None:
    """All that is read off a content by others; it may come from anywhere.

    Raises:
        KeyError, TypeError, ValueError: something is missing, too much, or of another kind.
    """
    if unknown := sorted(_FIELDS ^ set(content)):
        raise ValueError(f"fields must be {', '.join(sorted(_FIELDS))}, but {', '.join(unknown)} is gone or new")
    _ = content["study"]["name"], content["verdict"], content["chosen"]["trial_id"], content["seeds"]["seed"]
    _whole("step", content["chosen"]["step"], _MOST)
    _whole("nonce", content["seeds"]["nonce"], NUM_NONCES)
    _whole("num_compared", content["measured_with"]["num_compared"], NUM_NONCES)
    _ = [entry["weights_sha256"] for entry in content["models"][UNLEARNED]], dict(content["inputs"])
    _ = [image["file_sha256"] for image in content["asked"]]
    if len(content["models"][UNLEARNED]) != len(content["parts"]):
        raise ValueError("every part must have a model")
    for part in content["parts"]:
        _ = part["verdict"], bool(part["membership"]["is_unseen"])
        _ = [entry["stderr"] for metrics in part["metrics"].values() for entry in metrics.values()]


def _whole(name: str, value: Any, below: int) -> None:
    if type(value) is not int or not 0 <= value < below:
        raise ValueError(f"{name} must be a whole number from 0 to {below - 1}")


def _wrong_conclusions(content: Mapping[str, Any]) -> Iterator[str]:
    for number_of, part in enumerate(content["parts"]):
        names = [image["shown"] for image in part["images"]]
        anew = judged(part, names, content["study"]["constraints"])
        if anew["standings"] != part["standings"]:
            yield f"parts[{number_of}].standings do not follow from its statistics"
        if not _same_rules(anew["rules"], part["rules"]):
            yield f"parts[{number_of}].rules do not follow from what was measured"
        if any(anew[name] != part[name] for name in ("outcome", "verdict")):
            yield f"outcome and verdict of parts[{number_of}] do not follow from its rules"
        if not all(map(_is_interval, (entry for of in part["metrics"].values() for entry in of.values()))):
            yield f"an interval of parts[{number_of}] does not follow from its value and standard error"
        if _num_unseen(part) != {part["membership"]["num_unseen"]}:
            yield f"num_unseen of parts[{number_of}] is not how many images it was compared with"
    if together(content["parts"]) != (content["outcome"], content["verdict"]):
        yield "outcome and verdict do not follow from the parts"
    yield from _wrong_words(content)


def _wrong_words(content: Mapping[str, Any]) -> Iterator[str]:
    """What is said in several places, or follows from what was there to be measured."""
    images = [image for part in content["parts"] for image in part["images"]]
    if images != known_by(content["asked"]) or any(of["shown"] != shown_name(of) for of in content["asked"]):
        yield "the images of the parts are not those that were asked for"
    if any(content["limits"] != limits(part["membership"], content["models"]) for part in content["parts"]):
        yield "limits are not those of what was compared"
    if any(set(part["metrics"]) != set(content["models"]) for part in content["parts"]):
        yield "the models that were measured are not those that are named"
    whole = {(statistic, model, kind) for statistic in (NLL, LOSS) for model in content["models"] for kind in IMAGES}
    if any(set(_statistics(part)) != whole for part in content["parts"]):
        yield "statistics of the membership test are gone or new: every model has each of them, of all images"
    if content["seeds"]["rule"] != SEED_RULE:
        yield "seeds.rule is not how seeds are made"


def _statistics(part: Mapping[str, Any]) -> dict[tuple[str, str, str], Sequence[Any]]:
    """(statistic, model, kind of images) → values."""
    return {(statistic, model, kind): values for statistic, models in part["membership"]["statistics"].items()
            for model, of in models.items() for kind, values in of.items()}  # fmt: skip


def _num_unseen(part: Mapping[str, Any]) -> set[int]:
    return {len(values) for (_, _, kind), values in _statistics(part).items() if kind == "unseen"}


def _is_interval(entry: Mapping[str, Any]) -> bool:
    """Whether an interval is what value and standard error make; the metric's own is its own affair."""
    if entry.get("interval") == OWN:
        return {"low", "high"} <= set(entry)
    anew = interval_entries(number(entry["value"]), number(entry["stderr"]), None)
    recorded = {name: entry[name] for name in ("low", "high", "interval") if name in entry}
    return anew.keys() == recorded.keys() and all(_is_close(recorded[name], anew[name]) for name in anew)


def _is_close(recorded: Any, anew: Any) -> bool:
    """Whether two numbers differ as much as machines round differently; all else must be equal."""
    return bool(recorded == anew) or math.isclose(number(recorded), number(anew), rel_tol=OF_ROUNDING)


def _same_rules(anew: Sequence[Mapping[str, Any]], recorded: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of rules say the same."""
    words = [[{name: rule[name] for name in _SAID} for rule in of] for of in (anew, recorded)]
    numbers = [[(name, value) for rule in of for name, value in rule["numbers"].items()] for of in (anew, recorded)]
    return (
        words[0] == words[1]
        and len(numbers[0]) == len(numbers[1])
        and all(then[0] == now[0] and _is_close(then[1], now[1]) for then, now in zip(*numbers, strict=True))
    )
