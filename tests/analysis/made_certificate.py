"""A certificate of made-up numbers, laid out and as wide as real ones: no models, no time."""

from __future__ import annotations

import copy
from typing import Any

from analysis.certificates.concluding import judged, together
from analysis.certificates.document import plain
from analysis.certificates.intervals import interval_entries
from analysis.certificates.limits import limits
from analysis.certificates.making import SEED_RULE, known_by, shown_name
from analysis.certificates.page_versions import page_versions
from tuning.versions import versions

HASH = "0123456789abcdef" * 4
NAMES = ("sscd", "nll", "fid", "inception_score", "membership_loss", "nll_neighbours", "sscd_neighbours")


def made_content(outcome_of: float, name: str = "tshirt") -> dict[str, Any]:
    """A certificate of an image that lies at `outcome_of` in both statistics; unseen ones lie from 5 to 5.6."""
    unseen = [5 + index / 100 for index in range(60)]
    values = {"untouched": 2.0, "unlearned": outcome_of, "retrained": 5.2}
    models = {model: {"forget": [value], "unseen": unseen, "retain": [1.0, 1.1]} for model, value in values.items()}
    share = {"value": 0.0123456, "stderr": 0.0028, "num": 1536, **interval_entries(0.0123456, 0.0028, (0.0079, 0.0192))}
    entry = {metric: {"value": 1.23456, "stderr": 0.0123, "num": 1536, **interval_entries(1.23456, 0.0123, None)}
             for metric in NAMES}  # fmt: skip
    part = {
        "metrics": {model: copy.deepcopy({**entry, "regeneration_rate": share}) for model in values},
        "membership": {
            "is_unseen": True,
            "num_unseen": 60,
            "num_copies_left_out": 0,
            "statistics": {statistic: copy.deepcopy(models) for statistic in ("nll", "denoising_loss")},
        },
    }
    found = judged(plain(part), [name], ["fid <= 1.2x"])
    image = {"name": name, "file_sha256": HASH, "pixels_sha256": HASH, "width": 28, "height": 28, "channels": 1}
    image = {"shown": shown_name(image), **image}
    weights = {"weights_sha256": HASH}
    names = {"untouched": weights, "unlearned": [weights], "retrained": weights}
    return dict(plain({
        "outcome": found["outcome"],
        "verdict": found["verdict"],
        "study": {"name": "mnist_tshirt", "seed": 0, "constraints": ["fid <= 1.2x"]},
        "made": {"time": "2026-01-01T00:00:00+00:00", "versions": versions(), "page": page_versions()},
        "asked": [image],
        "chosen": {"trial_id": "00017", "step": 100, "method": "siss_no_is", "settings": {"scaling_norm": 123.456},
                   "training_seed": 123456789, "on_front": True, "why": "Knee of the front: nearest to the ideal."},
        "models": names,
        "inputs": {"retain": HASH},
        "seeds": {"nonce": 1, "given": True, "seed": 2**62, "rule": SEED_RULE},
        "measured_with": {"num_images": 1536, "num_compared": 60, "device": "cpu"},
        "labels": {"fid": "FID (digit features)", "sscd_neighbours": "SSCD of neighbours (28×28 copy descriptor)",
                   "regeneration_rate": "copies of the forget image among generated images"},
        "directions": {"sscd": "minimize", "nll": "maximize", "fid": "minimize", "inception_score": "maximize"},
        "parts": [{"images": known_by([image]), **part, **found}],
        "limits": limits(part["membership"], names),
    }))  # fmt: skip


def concluded_anew(content: dict[str, Any]) -> dict[str, Any]:
    """What a forger makes of a content who has changed its measurements: all that follows from them, anew."""
    for part in content["parts"]:
        part |= judged(part, [image["shown"] for image in part["images"]], content["study"]["constraints"])
    content["outcome"], content["verdict"] = together(content["parts"])
    return content
