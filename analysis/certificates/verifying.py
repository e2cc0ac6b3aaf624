"""Checks a certificate: is it as it was written, do its conclusions follow, are the files and values still those?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.certificates.document import Certificate, digest, number
from analysis.certificates.making import judged, together
from analysis.certificates.standings import UNLEARNED
from trainable.content import file_digest

#: How far a value measured again may lie off: in its standard errors, and besides in parts of itself (at least of 1).
#: Another seed moves a value by more than one standard error; another machine rounds differently.
OF_STDERR: Final = 0.25
OF_VALUE: Final = 1e-4
#: The same for a statistic of one image, in parts of itself (at least of 1).
OF_STATISTIC: Final = 1e-3
#: How far a number of a rule may lie off that is worked out again, in parts of itself.
OF_ROUNDING: Final = 1e-9
#: What a rule says in words.
_SAID: Final = ("name", "rule", "finding", "outcome")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: in a few words.
        holds: None where it could not be looked at.
        text: what was found.
    """

    what: str
    holds: bool | None
    text: str


def page_check(certificate: Certificate, path: Path) -> Check:
    """Whether the page beside the file is the one that was made with it."""
    name = str(certificate.page.get("name", ""))
    page = path.parent / Path(name).name
    if not name or not page.is_file():
        return Check("page", None, f"{page.name or 'the page'} is not beside the file")
    same = file_digest(page) == certificate.page.get("sha256")
    return Check("page", same, f"{page.name} {'is' if same else 'is not'} as it was written")


def conclusions_check(content: Mapping[str, Any]) -> Check:
    """Whether ranks, rules and verdicts follow from the statistics and measurements that are recorded."""
    try:
        _look_at_all(content)
        faults = list(_wrong_conclusions(content))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return Check("conclusions", False, f"the content is not laid out as a certificate's: {error!r}")
    text = "ranks, rules and verdict follow from what was measured"
    return Check("conclusions", not faults, "; ".join(faults) or text)


def _look_at_all(content: Mapping[str, Any]) -> None:
    """All that is read off a content by others; it may come from anywhere.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or of another kind.
    """
    _ = content["study"]["name"], content["verdict"], content["chosen"]["trial_id"], content["seeds"]["seed"]
    _ = int(content["chosen"]["step"]), int(content["seeds"]["nonce"]), int(content["measured_with"]["num_compared"])
    _ = [entry["weights_sha256"] for entry in content["models"][UNLEARNED]], dict(content["inputs"])
    _ = [image["file_sha256"] for image in content["asked"]]
    if len(content["models"][UNLEARNED]) != len(content["parts"]):
        raise ValueError("every part must have a model")
    if int(content["measured_with"]["num_compared"]) < 0:
        raise ValueError("num_compared must be at least 0")
    for part in content["parts"]:
        _ = part["verdict"], bool(part["membership"]["is_unseen"])
        _ = [entry["stderr"] for metrics in part["metrics"].values() for entry in metrics.values()]


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
    if together(content["parts"]) != (content["outcome"], content["verdict"]):
        yield "outcome and verdict do not follow from the parts"


def _same_rules(anew: Sequence[Mapping[str, Any]], recorded: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of rules say the same; numbers may differ as much as machines round differently."""
    words = [[{name: rule[name] for name in _SAID} for rule in of] for of in (anew, recorded)]
    numbers = [[(name, value) for rule in of for name, value in rule["numbers"].items()] for of in (anew, recorded)]
    return (
        words[0] == words[1]
        and len(numbers[0]) == len(numbers[1])
        and all(
            then[0] == now[0]
            and (then[1] == now[1] or math.isclose(number(then[1]), number(now[1]), rel_tol=OF_ROUNDING))
            for then, now in zip(*numbers, strict=True)
        )
    )


def study_checks(content: Mapping[str, Any], now: Mapping[str, Any]) -> list[Check]:
    """Whether the certificate says of the study and of the model what the study says itself.

    Args:
        content: of the certificate.
        now: ``study`` and ``chosen`` as a certificate made now would have them.
    """
    checks = []
    for what in ("study", "chosen"):
        recorded, found = dict(content[what]), dict(now[what])
        for either in (recorded, found):
            either.pop("why", None)  # which words led to the model is nothing that the study knows
        off = [name for name in dict.fromkeys([*recorded, *found]) if recorded.get(name) != found.get(name)]
        told = f"{', '.join(map(str, off))} {'is' if len(off) == 1 else 'are'} not as the study has it"
        checks.append(Check(what, not off, told if off else "is as the study has it"))
    return checks


def files_checks(
    content: Mapping[str, Any], models: Mapping[str, Any], forget: Sequence[str], inputs: Mapping[str, str]
) -> list[Check]:
    """Whether weights, configurations, forget images and other inputs are those that were measured.

    Args:
        content: of the certificate.
        models: `making.models_of` as it is now.
        forget: SHA-256 of the forget images' files as they are now.
        inputs: `making.inputs_of` as it is now.
    """
    recorded = content["models"]
    checks = [_same(f"{model} model", recorded.get(model), models.get(model))
              for model in dict.fromkeys([*recorded, *models]) if model != UNLEARNED]  # fmt: skip
    weights = [[entry["weights_sha256"] for entry in of] for of in (recorded[UNLEARNED], models[UNLEARNED])]
    checks.append(_same("unlearned model", *weights))
    pipelines = [[entry.get("files") for entry in of] for of in (recorded[UNLEARNED], models[UNLEARNED])]
    if all(all(of) for of in pipelines):
        checks.append(_same("pipeline of the unlearned model", *pipelines))
    checks.append(_same("forget images", [image["file_sha256"] for image in content["asked"]], list(forget)))
    return [*checks, *(_same(name, content["inputs"].get(name), inputs.get(name))
                       for name in dict.fromkeys([*content["inputs"], *inputs]))]  # fmt: skip


def _same(what: str, recorded: Any, now: Any) -> Check:
    same = recorded == now
    return Check(
        what, same, "is what was measured" if same else "is not what was measured: " + _difference(recorded, now)
    )


def _difference(recorded: Any, now: Any) -> str:
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        files = [recorded.get("files") or recorded, now.get("files") or now]
        names = [name for name in dict.fromkeys([*files[0], *files[1]]) if files[0].get(name) != files[1].get(name)]
        return "other SHA-256 of " + ", ".join(map(str, names[:4])) if names else "other weights"
    return f"SHA-256 {_short(recorded)} then, {_short(now)} now"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else "none" if value is None else digest(value)
    return text[:16]


def values_checks(content: Mapping[str, Any], again: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Whether the models measure the same again.

    Args:
        content: of the certificate.
        again: its parts' ``metrics`` and ``membership``, measured anew from its seeds.
    """
    checks: list[Check] = []
    for part, anew in zip(content["parts"], again, strict=True):
        shown = ", ".join(image["shown"] for image in part["images"])
        checks += [Check(f"values of {shown}", *_values(part["metrics"], anew["metrics"]))]
        then, now = part["membership"], anew["membership"]
        checks += [Check(f"statistics of {shown}", *_statistics(then["statistics"], now["statistics"]))]
        kind, other = ({name: of[name] for name in of if name != "statistics"} for of in (then, now))
        same = kind == other
        told = "are what they are said to be" if same else f"are {other} now, {kind} then"
        checks.append(Check(f"images compared with {shown}", same, told))
    return checks


def _values(recorded: Mapping[str, Any], anew: Mapping[str, Any]) -> tuple[bool, str]:
    off, worst, count = _missing(recorded, anew), 0.0, 0
    for model, metrics in anew.items():
        for metric, entry in metrics.items():
            then = recorded.get(model, {}).get(metric, {})
            off += [f"{name} of {metric} of the {model} model" for name in then.keys() ^ entry.keys()]
            for name in entry.keys() & then.keys():
                share = _share(number(then[name]), number(entry[name]), _tolerance(name, entry))
                count, worst = count + 1, max(worst, share)
                if not share <= 1:
                    of = f"{name} of {metric}" if name != "value" else metric
                    off.append(f"{of} of the {model} model {then[name]} then, {entry[name]} now")
    return not off, "; ".join(off) or f"all {count} within tolerance, the worst at {worst:.1%} of it"


def _missing(recorded: Mapping[str, Any], anew: Mapping[str, Any]) -> list[str]:
    """What only one of the two has, of models and metrics."""
    keys = [{(model, metric) for model, metrics in of.items() for metric in metrics} for of in (recorded, anew)]
    return [f"{metric} of the {model} model is in one of the two alone" for model, metric in sorted(keys[0] ^ keys[1])]


def _tolerance(name: str, entry: Mapping[str, Any]) -> float:
    """Of one number of a measurement, by its error as it was measured anew: what is recorded may say any."""
    error = number(entry.get("ratio_stderr" if name.startswith("ratio") else "stderr"))
    share = 2 / entry["num"] if "low" in entry and entry["num"] else 0  # of images: two of them
    return OF_STDERR * (0 if math.isnan(error) else error) + OF_VALUE * max(1, abs(number(entry[name]))) + share


def _share(then: float, now: float, tolerance: float) -> float:
    """How much of the tolerance two numbers lie apart; what is no number is equal to its like."""
    return 0.0 if math.isnan(then) and math.isnan(now) else abs(now - then) / tolerance


def _statistics(recorded: Mapping[str, Any], anew: Mapping[str, Any]) -> tuple[bool, str]:
    off, worst, count = [], 0.0, 0
    for statistic, models in recorded.items():
        for model, images in models.items():
            for kind, values in images.items():
                others = anew[statistic][model][kind]
                if len(others) != len(values):
                    off.append(f"{statistic} of {len(values)} {kind} images then, of {len(others)} now")
                    continue
                pairs = [(number(then), number(now)) for then, now in zip(values, others, strict=True)]
                shares = [abs(now - then) / (OF_STATISTIC * max(1, abs(then))) for then, now in pairs if then != now]
                count += len(pairs)
                worst = max(worst, *shares, 0.0) if shares else worst
                if any(not share <= 1 for share in shares):
                    off.append(f"{statistic} of {kind} images in the {model} model")
    return not off, "; ".join(off) or f"all {count} within tolerance, the worst at {worst:.1%} of it"
