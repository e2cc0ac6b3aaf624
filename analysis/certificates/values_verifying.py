"""Checks a certificate's numbers against the same ones measured anew from its seeds; no torch.

Both directions are looked at: what the certificate leaves out may be what convicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from analysis.certificates.check import Check
from analysis.certificates.document import number
from analysis.certificates.files_verifying import COMPUTER
from analysis.certificates.intervals import OWN

#: How far a value measured again may lie off: in its standard errors, and besides in parts of itself (at least of 1).
#: Another seed moves a value by more than one standard error; another machine rounds differently.
OF_STDERR: Final = 0.25
OF_VALUE: Final = 1e-4
#: The same for a statistic of one image, in parts of itself (at least of 1).
OF_STATISTIC: Final = 1e-3
#: (model, metric, number), or (statistic, model, kind of images).
_Key = tuple[str, str, str]
#: Of the two, which has something alone.
_ALONE: Final = ("the certificate alone has", "the certificate lacks")


@dataclass
class _Compared:
    """How far pairs of numbers lie apart, so far.

    Attributes:
        off: what is beyond its tolerance, in words.
        worst: share of its tolerance that the worst pair takes.
        count: pairs.
    """

    off: list[str] = field(default_factory=list)
    worst: float = 0.0
    count: int = 0

    def pairs(self, shares: Iterable[float], told: str) -> None:
        """Takes in how much of their tolerance some pairs take, and what is to be said where one takes too much."""
        found = list(shares)
        self.count += len(found)
        self.worst = max([self.worst, *found])
        if not all(share <= 1 for share in found):
            self.off.append(told)

    @property
    def found(self) -> tuple[bool, str]:
        """(whether all agree, what there is to say)."""
        told = f"all {self.count} within tolerance, the worst at {self.worst:.1%} of it"
        return not self.off, "; ".join(self.off) or told


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


def computer_check(content: Mapping[str, Any], now: Mapping[str, Any]) -> Check:
    """On what it was measured: another computer is no fault, and that it was this one cannot be shown."""
    then = {name: content["measured_with"].get(name) for name in COMPUTER}
    if then == now:
        return Check("computer", None, f"it says {then['device']}, and so is this one")
    of_then, of_now = (", ".join(f"{name} {of[name]}" for name in COMPUTER) for of in (then, now))
    return Check("computer", None, f"it says {of_then}; measured again with {of_now}")


def _values(recorded: Mapping[str, Any], anew: Mapping[str, Any]) -> tuple[bool, str]:
    numbers = [{(model, metric, name): value for model, metrics in of.items() for metric, entry in metrics.items()
                for name, value in entry.items()} for of in (recorded, anew)]  # fmt: skip
    compared = _Compared(_alone(*numbers))
    for key in (key for key in numbers[1] if key in numbers[0]):
        model, metric, name = key
        then, now = numbers[0][key], numbers[1][key]
        of = f"{name} of {metric}" if name != "value" else metric
        told = f"{of} of the {model} model {then} then, {now} now"
        compared.pairs([_share(then, now, _tolerance(name, anew[model][metric]))], told)
    return compared.found


def _statistics(recorded: Mapping[str, Any], anew: Mapping[str, Any]) -> tuple[bool, str]:
    lists = [{(statistic, model, kind): values for statistic, models in of.items() for model, images in models.items()
              for kind, values in images.items()} for of in (recorded, anew)]  # fmt: skip
    compared = _Compared(_alone(*lists))
    for key in (key for key in lists[1] if key in lists[0]):
        statistic, model, kind = key
        then, now = lists[0][key], lists[1][key]
        if len(then) != len(now):
            compared.off.append(f"{statistic} of {len(then)} {kind} images then, of {len(now)} now")
            continue
        shares = [_share(*pair, OF_STATISTIC * max(1, abs(number(pair[1])))) for pair in zip(then, now, strict=True)]
        compared.pairs(shares, f"{statistic} of {kind} images in the {model} model")
    return compared.found


def _alone(recorded: Mapping[_Key, Any], anew: Mapping[_Key, Any]) -> list[str]:
    """What only one of the two has: everything was measured of every model, and everything must stand there."""
    return [
        f"{told} {' / '.join(key)}"
        for told, keys in zip(_ALONE, (recorded.keys() - anew.keys(), anew.keys() - recorded.keys()), strict=True)
        for key in sorted(keys)
    ]


def _tolerance(name: str, entry: Mapping[str, Any]) -> float:
    """Of one number of a measurement, by its error as it was measured anew: what is recorded may say any."""
    error = number(entry.get("ratio_stderr" if name.startswith("ratio") else "stderr"))
    share = 2 / entry["num"] if entry.get("interval") == OWN and entry["num"] else 0  # of images: two of them
    return OF_STDERR * (0 if math.isnan(error) else error) + OF_VALUE * max(1, abs(number(entry[name]))) + share


def _share(then: Any, now: Any, tolerance: float) -> float:
    """How much of the tolerance two numbers lie apart; what is equal is so, whether NaN, infinite or a text."""
    if then == now or (_is_nan(then) and _is_nan(now)):
        return 0.0
    return abs(number(now) - number(then)) / tolerance


def _is_nan(value: Any) -> bool:
    return bool(value == "nan" or value != value)
