"""Checks a certificate against its study: are settings, seeds, weights, images and inputs those it names? No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from analysis.certificates.check import Check, same_check
from analysis.certificates.document import plain
from analysis.certificates.making import Order
from analysis.certificates.standings import UNLEARNED

#: Of ``chosen``: which words led to the model is nothing that the study knows, and a front changes as a study goes on.
_OF_THEN: Final = ("why", "on_front")
#: Of ``measured_with``: no fidelity.
COMPUTER: Final = ("device", "num_threads", "rows")


def study_checks(content: Mapping[str, Any], now: Mapping[str, Any]) -> list[Check]:
    """Whether the certificate says of the study and of the model what the study says itself.

    Args:
        content: of the certificate.
        now: ``study`` and ``chosen`` as a certificate made now would have them.
    """
    checks = []
    for what in ("study", "chosen"):
        recorded, found = ({name: of[what][name] for name in of[what] if name not in _OF_THEN} for of in (content, now))
        off = [name for name in dict.fromkeys([*recorded, *found]) if recorded.get(name) != found.get(name)]
        told = f"{', '.join(map(str, off))} {'is' if len(off) == 1 else 'are'} not as the study has it"
        checks.append(Check(what, not off, told if off else "is as the study has it"))
    return [*checks, *_front_checks(content["chosen"].get("on_front"), now["chosen"]["on_front"])]


def _front_checks(then: Any, now: bool) -> list[Check]:
    if then == now:
        return []
    told = (
        "was a member of the front, by the certificate, and is" if then else "was no member, by the certificate, and is"
    )
    return [Check("front", None, f"{told} {'one' if now else 'none'} now, as can be where a study went on")]


def order_checks(content: Mapping[str, Any], order: Order) -> list[Check]:
    """Whether seed and fidelity are those that the study gives."""
    by = {name: of for name, of in content["measured_with"].items() if name not in (*COMPUTER, "num_compared")}
    same_seed, same_fidelity = content["seeds"]["seed"] == order.seed, by == plain(order.config.final_fidelity)
    follows = "follows from study seed and nonce" if same_seed else "does not follow from study seed and nonce"
    return [
        Check("seed", same_seed, follows),
        Check("fidelity", same_fidelity, "is the study's" if same_fidelity else "is not the study's"),
    ]


def files_checks(
    content: Mapping[str, Any],
    models: Mapping[str, Any],
    forget: Sequence[Mapping[str, Any]],
    inputs: Mapping[str, str],
) -> list[Check]:
    """Whether weights, configurations, forget images and other inputs are those that were measured.

    Args:
        content: of the certificate.
        models: `making.models_of` as it is now.
        forget: `making.file_entry` of the forget images as they are now.
        inputs: `making.inputs_of` as it is now.
    """
    recorded = content["models"]
    checks = [same_check(f"{model} model", recorded.get(model), models.get(model))
              for model in dict.fromkeys([*recorded, *models]) if model != UNLEARNED]  # fmt: skip
    weights = [[entry["weights_sha256"] for entry in of] for of in (recorded[UNLEARNED], models[UNLEARNED])]
    checks.append(same_check("unlearned model", *weights))
    pipelines = [[entry.get("files") for entry in of] for of in (recorded[UNLEARNED], models[UNLEARNED])]
    if all(all(of) for of in pipelines):
        checks.append(same_check("pipeline of the unlearned model", *pipelines))
    asked = [{name: image[name] for name in ("name", "file_sha256") if name in image} for image in content["asked"]]
    checks.append(same_check("forget images", asked, list(forget)))
    return [*checks, *(same_check(name, content["inputs"].get(name), inputs.get(name))
                       for name in dict.fromkeys([*content["inputs"], *inputs]))]  # fmt: skip
