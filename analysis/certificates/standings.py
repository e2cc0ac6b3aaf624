"""Where forget images stand among others, worked out from the statistics that a certificate records; no torch.

Statistics are ``{statistic: {model: {"forget": [F], "unseen": [N], "retain": [R]}}}``, as
`analysis.certificates.membership_statistics` defines them, numbers as the canonical form has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from analysis.certificates.document import number
from metrics.membership_inference import Standing, calibrated, standing
from tuning.baseline import RETRAINED, UNTOUCHED

UNLEARNED: Final = "unlearned"
#: In the order in which they are shown.
MODELS: Final = (UNTOUCHED, UNLEARNED, RETRAINED)

#: The statistics of the membership test, and the images that each has of every model.
NLL, LOSS = "nll", "denoising_loss"
IMAGES: Final = ("forget", "unseen", "retain")

Statistics = Mapping[str, Mapping[str, Mapping[str, Sequence[Any]]]]


def numbers(values: Sequence[Any]) -> list[float]:
    """Numbers as they were before the canonical form."""
    return [number(value) for value in values]


def standings(statistics: Statistics) -> dict[str, Any]:
    """``among_unseen`` and ``among_retain``: statistic → model → for each forget image its `Standing`; ``change``:
    statistic → reference model → for each forget image the standing of what unlearning, or the other training, changed.
    """
    return {
        "among_unseen": _among(statistics, "unseen"),
        "among_retain": _among(statistics, "retain"),
        "change": {
            statistic: {
                reference: _listed(_changes(models[UNLEARNED], models[reference]))
                for reference in (UNTOUCHED, RETRAINED)
                if reference in models
            }
            for statistic, models in statistics.items()
        },
    }


def _among(statistics: Statistics, others: str) -> dict[str, Any]:
    return {
        statistic: {
            model: _listed([standing(value, numbers(of[others])) for value in numbers(of["forget"])])
            for model, of in models.items()
        }
        for statistic, models in statistics.items()
    }


def _changes(unlearned: Mapping[str, Sequence[Any]], reference: Mapping[str, Sequence[Any]]) -> list[Standing]:
    """Standings of the forget images' differences between two models among those of unseen images."""
    forget, unseen = (
        calibrated(numbers(unlearned[images]), numbers(reference[images])) for images in ("forget", "unseen")
    )
    return [standing(value, unseen) for value in forget]


def _listed(found: Sequence[Standing]) -> list[dict[str, Any]]:
    return [asdict(each) for each in found]
