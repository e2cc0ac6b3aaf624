"""Measures the models that a certificate compares, all on the same fresh seeds; in this process, without Ray."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from analysis.candidate_model import CandidateFiles, put_weights
from analysis.certificates.intervals import interval_entries
from analysis.certificates.membership_statistics import (
    NUM_PROBES_LEAST,
    Noises,
    rows_of_statistics,
    statistics_of,
)
from analysis.certificates.standings import UNLEARNED
from analysis.progress import Watch
from diffusion.denoiser import Denoiser
from metrics import METRICS
from metrics.accounting import told_of_rows
from metrics.evidence import Evidence
from metrics.expected import Sizes, expected_rows, work_of
from metrics.metric import Measurement
from metrics.subject import Fidelity, Subject
from trainable.evaluation import evaluate, evaluation_rows
from trainable.plan import Source
from trainable.workloads.images import to_bytes
from trainable.workloads.workload import Workload
from tuning.baseline import RETRAINED, UNTOUCHED
from tuning.constraints import RATIO, RATIO_STDERR
from tuning.quality import as_measured
from tuning.remeasure import compared_columns
from tuning.schema import StudyConfig

#: What every certificate measures, where the workload has what it takes.
_ALWAYS: Final = ("sscd", "nll", "membership_loss", "regeneration_rate", "nll_neighbours", "sscd_neighbours")
#: Retain images that are shown beside the unseen ones, at most; no rule looks at them.
_MOST_RETAIN: Final = 32
_OF_PROMPTS: Final = ("sscd_original", "memorised_share", "copied_share")

Measured = dict[str, dict[str, Measurement]]
#: statistic → images (forget, unseen, retain) → values.
Statistics = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Part:
    """What was measured of one forget set.

    Attributes:
        pixels: of each forget image, uint8 (H, W, C).
        measured: model → metric → measurement.
        statistics: model → statistic → images → values.
    """

    pixels: tuple[Any, ...]
    measured: Measured
    statistics: dict[str, Statistics]

    def entries(self) -> dict[str, dict[str, dict[str, Any]]]:
        """model → metric → numbers, with the ratio to the untouched model's where the two pair."""
        untouched = as_measured(self.measured[UNTOUCHED])
        return {model: _entries(found, compared_columns(found, untouched)) for model, found in self.measured.items()}


@dataclass(frozen=True)
class Run:
    """All that was measured, and on what.

    Attributes:
        parts: of each forget set.
        is_unseen: whether the images that were compared with are none that unlearning trained on.
        num_unseen: how many they are.
        num_copies: images among them that were left out, being forget images themselves.
        labels: metric → how it is called.
        device, num_threads, rows: what computed it, and how many rows a network call had at most.
    """

    parts: tuple[Part, ...]
    is_unseen: bool
    num_unseen: int
    num_copies: int
    labels: Mapping[str, str]
    device: str
    num_threads: int
    rows: int


class Measuring:
    """Measures a study's models for one certificate.

    Args:
        config: of the study, its inputs on this machine.
        source: its workload.
        files: the weights behind the certified model.
        sets: which of the study's forget sets.
        seed: of all noise.
        most_unseen: images to compare with, at most.
        watch: is told of the work.
    """

    def __init__(
        self,
        config: StudyConfig,
        source: Source,
        files: CandidateFiles,
        sets: Sequence[int],
        seed: int,
        most_unseen: int,
        watch: Watch,
    ) -> None:
        self._config, self._source, self._files, self._sets = config, source, files, tuple(sets)
        self._seed, self._most_unseen, self._watch = seed, most_unseen, watch
        self._fidelity = Fidelity(**config.final_fidelity)
        self._rows = evaluation_rows(self._fidelity)

    def run(self) -> Run:
        """Measure.

        Raises:
            StudyError: the weights are not there, or do not fit.
            ValueError, OSError: a model, an image or an encoder cannot be read.
        """
        self._watch.stage("read images")
        self._open()
        self._watch.total(self._all_rows())
        measured: list[Measured] = [{} for _ in self._sets]
        statistics: list[dict[str, Statistics]] = [{} for _ in self._sets]
        for model, index, found, compared in self._models():
            measured[index][model], statistics[index][model] = found, compared
        parts = zip(self._subjects, measured, statistics, strict=True)
        return Run(
            parts=tuple(Part(_pixels(subject), found, compared) for subject, found, compared in parts),
            is_unseen=self._is_unseen,
            num_unseen=len(self._unseen),
            num_copies=self._num_copies,
            labels=dict(self._subjects[0].labels),
            device=_device_name(self._workloads[0].device),
            num_threads=torch.get_num_threads(),
            rows=self._rows.rows,
        )

    def _open(self) -> None:
        every = self._source.settings.forget_sets
        first = self._source.open()
        self._workloads: list[Workload] = [first if len(every) == 1 else first.of(every[index]) for index in self._sets]
        prepared = [workload.prepare() for workload in self._workloads]
        self._subjects = [workload.subject(of) for workload, of in zip(self._workloads, prepared, strict=True)]
        self._names = _metrics(self._config, self._subjects[0])
        others = self._workloads[0].unmemorised(prepared[0], self._config.unseen)
        self._unseen, self._num_copies = self._chosen(None if others is None else others.space.forget)
        retain = self._subjects[0].space.retain
        # Under prompts those that take the place of unseen images are the retain images themselves.
        self._is_unseen = self._config.unseen is not None and not self._subjects[0].space.prompts
        self._retain = retain[:_MOST_RETAIN] if self._is_unseen or not len(self._unseen) else retain[:0]

    def _chosen(self, unseen: Tensor | None) -> tuple[Tensor, int]:
        """The images to compare with, spread evenly over those there are, and how many were forget images."""
        forget = torch.cat([subject.space.forget for subject in self._subjects])
        if unseen is None:
            return forget[:0], 0
        copies = torch.stack([(unseen == image).flatten(1).all(1) for image in forget]).any(0)
        others = unseen[~copies]
        count = min(self._most_unseen, len(others))
        rows = torch.linspace(0, max(len(others) - 1, 0), count).round().long()
        return others[rows.to(others.device)], int(copies.sum())

    def _models(self) -> Iterator[tuple[str, int, dict[str, Measurement], Statistics]]:
        """(model, forget set, measurements, statistics), of all models and sets."""
        config, workload = self._config, self._workloads[0]
        denoiser = self._source.load(workload, config.model)
        yield from self._same_for_all(UNTOUCHED, denoiser)
        for index, chosen in enumerate(self._sets):
            with self._files.weights_at_hand(chosen) as weights:
                put_weights(denoiser.network, weights)
            yield from self._one(UNLEARNED, denoiser, index)
        if config.retrained_model is not None:
            del denoiser
            yield from self._same_for_all(RETRAINED, self._source.load(workload, config.retrained_model))

    def _one(
        self, model: str, denoiser: Denoiser, index: int
    ) -> Iterator[tuple[str, int, dict[str, Measurement], Statistics]]:
        """A model of one forget set's own."""
        subject, which = self._subjects[index], f" {index + 1} of {len(self._sets)}" if len(self._sets) > 1 else ""
        self._watch.stage(f"measure the {model} model{which}")
        with self._counted(denoiser.network):
            _, found = evaluate(self._names, denoiser, subject, self._fidelity, self._seed, self._rows)
            compared = self._statistics(denoiser, subject.space.forget)
        yield model, index, found, compared

    def _same_for_all(
        self, model: str, denoiser: Denoiser
    ) -> Iterator[tuple[str, int, dict[str, Measurement], Statistics]]:
        """A model that is the same for every forget set: its images are made once, and so are its statistics."""
        self._watch.stage(f"measure the {model} model")
        evidence: Evidence | None = None
        results = []
        with self._counted(denoiser.network):
            for subject in self._subjects:
                evidence, found = evaluate(
                    self._names, denoiser, subject, self._fidelity, self._seed, self._rows, evidence
                )
                results.append(found)
            sizes = [len(subject.space.forget) for subject in self._subjects]
            every = torch.cat([subject.space.forget for subject in self._subjects])
            compared = self._statistics(denoiser, every)
        first = 0
        for index, (found, size) in enumerate(zip(results, sizes, strict=True)):
            own = {
                name: {**images, "forget": images["forget"][first : first + size]} for name, images in compared.items()
            }
            first += size
            yield model, index, found, own

    def _statistics(self, denoiser: Denoiser, forget: Tensor) -> Statistics:
        """Of forget, unseen and retain images, all under the same noises."""
        space = self._subjects[0].space
        images = torch.cat([forget, self._unseen.to(forget.device), self._retain.to(forget.device)])
        noises = Noises(
            self._seed, self._num_probes, self._config.num_membership_noises, self._config.num_likelihood_evaluations
        )
        values = statistics_of(space.trained(denoiser), images, noises, space.data_bits, self._rows)
        ends = {"forget": len(forget), "unseen": len(forget) + len(self._unseen), "retain": len(images)}
        starts = dict(zip(ends, (0, *ends.values()), strict=False))
        return {name: {kind: of[starts[kind] : ends[kind]] for kind in ends} for name, of in values.items()}

    @property
    def _num_probes(self) -> int:
        return max(NUM_PROBES_LEAST, self._config.num_probes)

    def _all_rows(self) -> int:
        forget = [len(subject.space.forget) for subject in self._subjects]
        others = len(self._unseen) + len(self._retain)
        is_prompted, fidelity = bool(self._subjects[0].space.prompts), Fidelity(**self._config.final_fidelity)
        rows, references = 0, 1 if self._config.retrained_model is None else 2
        for size, subject in zip(forget, self._subjects, strict=True):
            sizes = Sizes(size, len(subject.space.neighbours), is_prompted, 2 if is_prompted else 1)
            rows += (1 + references) * expected_rows(self._names, fidelity, sizes)
            rows += rows_of_statistics(self._config, self._num_probes, size + others)
        rows += references * rows_of_statistics(self._config, self._num_probes, sum(forget) + others)
        return rows

    def _counted(self, network: nn.Module) -> AbstractContextManager[None]:
        """Tell the watch of the work of every row."""
        return told_of_rows(network, lambda rows: self._watch.advance(work_of(rows)))


def pixels_digest(pixels: Any) -> str:
    """SHA-256 of a decoded image, uint8 (H, W, C): its bytes row by row, channels last."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _pixels(subject: Subject) -> tuple[Any, ...]:
    return tuple(image.permute(1, 2, 0).contiguous().numpy() for image in to_bytes(subject.forget.cpu()))


def _metrics(config: StudyConfig, subject: Subject) -> tuple[str, ...]:
    """All that can be measured: what the study did, what a certificate wants, and quality by the networks there are."""
    names = [*config.metrics, *_ALWAYS]
    quality = {"fid": subject.features, "inception_score": subject.classifier, "clip_iqa": subject.quality}
    names += [name for name, network in quality.items() if network is not None]
    if subject.space.prompts:
        names += _OF_PROMPTS
    lacking = {"membership_errors": subject.space.retain, "neighbour_likelihood": subject.space.neighbours,
               "neighbour_denoising_descriptors": subject.space.neighbours}  # fmt: skip
    missing = {part for part, images in lacking.items() if not len(images)}
    return tuple(name for name in dict.fromkeys(names) if not missing & set(METRICS[name].needs))


def _entries(found: Mapping[str, Measurement], columns: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    for metric, measured in found.items():
        entry: dict[str, Any] = {"value": measured.value, "stderr": measured.stderr, "num": measured.num_samples}
        entry |= interval_entries(measured.value, measured.stderr, measured.interval)
        if metric + RATIO in columns:
            entry["ratio"], entry["ratio_stderr"] = columns[metric + RATIO], columns[metric + RATIO_STDERR]
        entries[metric] = entry
    return entries


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
