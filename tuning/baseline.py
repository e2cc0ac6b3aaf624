"""``baseline.json``: what was measured before any trial, as a study writes it and ``analysis`` reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tuning.files import write_text_atomic

UNTOUCHED, UNTOUCHED_SEARCH, RETRAINED, UNSEEN = "untouched", "untouched_search", "retrained", "unseen"
MODELS = (UNTOUCHED, UNTOUCHED_SEARCH, RETRAINED, UNSEEN)
#: Metrics whose ideal is known without a retrained model: no resemblance to the forget images.
KNOWN_IDEAL: Mapping[str, float] = {"sscd": 0.0}
#: The metric whose ideal unseen images give.
UNSEEN_IDEAL = "nll"


@dataclass(frozen=True)
class Measured:
    """One value; NaN for what was not measured. ``replicates``: see `metrics.metric.Measurement`."""

    value: float
    stderr: float = math.nan
    num_samples: int = 0
    replicates: tuple[float, ...] = ()


@dataclass(frozen=True)
class Baseline:
    """The models that trials are compared with.

    Attributes:
        models: model → metric → value, for those of

            - ``untouched``: the model before, at full fidelity and on the seeds that the front is re-measured with;
            - ``untouched_search``: the same at the fidelity and on the seeds of trials: what their relative bounds
              refer to. FID's bias depends on the number of images, so that a bound holds only between equal counts;
            - ``retrained``: the same training without the forget images, as ``untouched``; where there is one;
            - ``unseen``: ``nll`` of images that the model never saw; where that was measured.
        calibration: ``retain_gradient_norm`` and ``forget_gradient_norm`` at step 0.
        blocks: number of images → metric → value of ``untouched_search``'s first images: what reports of as many are
            compared with.
        variety: of the images of ``untouched_search`` (`trainable.quality.variety`); 0 where that was not measured.
        offsets: rung → for each forget set, metric → what all draws of ``untouched_search`` give more than those of a
            report at that rung; under a ladder.
        labels: metric → how it is called in reports.
        grid_error: of ``nll`` of ``untouched_search``, in bits per dimension (`metrics.nll.grid_error`).
    """

    models: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    blocks: Mapping[int, Mapping[str, Measured]] = field(default_factory=dict)
    variety: float = 0.0
    offsets: Mapping[int, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    grid_error: float = 0.0

    def values(self, model: str) -> dict[str, float]:
        """metric → value of one of the models; empty where it was not measured."""
        return {metric: measured.value for metric, measured in self.models.get(model, {}).items()}

    @property
    def reference(self) -> dict[str, float]:
        """metric → value of the untouched model: what the re-measured front is judged by."""
        return self.values(UNTOUCHED)

    @property
    def search_reference(self) -> dict[str, float]:
        """metric → value of the untouched model as trials measure: what their reports are judged by."""
        return self.values(UNTOUCHED_SEARCH) or self.reference

    @property
    def ideal(self) -> dict[str, float]:
        """metric → the retrained model's value; without one no resemblance, and the likelihood of unseen images."""
        return self.values(RETRAINED) or {**KNOWN_IDEAL, **self.values(UNSEEN)}

    @property
    def ideal_stderr(self) -> dict[str, float]:
        """metric → standard error of the ideal's value; none of what is known without measuring it."""
        found = self.models.get(RETRAINED) or self.models.get(UNSEEN, {})
        return {metric: measured.stderr for metric, measured in found.items()}

    def save(self, path: Path) -> None:
        """Write the file; each model is a key of its own."""
        models = {name: {key: _as_json(entry) for key, entry in of.items()} for name, of in self.models.items()}
        blocks = {str(count): {key: _as_json(entry) for key, entry in of.items()} for count, of in self.blocks.items()}
        data = {**models, "calibration": dict(self.calibration), "labels": dict(self.labels)}
        data |= {"variety": self.variety, "blocks": blocks, "offsets": _keyed_by_text(self.offsets)}
        data |= {"grid_error": None if math.isnan(self.grid_error) else self.grid_error}
        write_text_atomic(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """Read the file.

        Raises:
            ValueError: it does not map models to metrics to value, stderr and num_samples.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            models = {
                name: {key: _measured(entry) for key, entry in data[name].items()} for name in MODELS if name in data
            }
            blocks = {
                int(count): {key: _measured(entry) for key, entry in of.items()}
                for count, of in (data.get("blocks") or {}).items()
            }
            offsets = {int(rung): of for rung, of in (data.get("offsets") or {}).items()}
            calibration, labels = data.get("calibration") or {}, data.get("labels") or {}
            numbers = float(data.get("variety", 0.0)), offsets, _float(data.get("grid_error", 0.0))
            return cls(models, calibration, labels, blocks, *numbers)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(
                f"{path} must map models to metrics to value, stderr and num_samples: {error!r}"
            ) from error


def with_given_ideal(
    models: Mapping[str, Mapping[str, Measured]], ratios: Mapping[str, float]
) -> dict[str, Mapping[str, Measured]]:
    """``models``, their ``unseen`` filled up by multiples of the untouched model's values, which nobody measured."""
    known = models.get(UNSEEN, {})
    given = {
        metric: Measured(ratio * models[UNTOUCHED][metric].value)
        for metric, ratio in ratios.items()
        if metric not in known
    }
    return {**models, UNSEEN: {**known, **given}} if given else dict(models)


def _keyed_by_text(values: Mapping[int, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in values.items()}


def _as_json(entry: Measured) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if value != ()}


def _measured(entry: Mapping[str, Any]) -> Measured:
    replicates = tuple(map(_float, entry.get("replicates") or ()))
    return Measured(_float(entry["value"]), _float(entry.get("stderr")), int(entry.get("num_samples") or 0), replicates)


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
