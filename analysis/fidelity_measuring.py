"""Measures the models of a study at each value of the settings that trade network calls for exactness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from analysis.agreement import SAMPLING, SETTINGS, Setting
from analysis.candidate_model import CandidateModels, reading
from analysis.load import Study, StudyError
from analysis.progress import Watch
from analysis.table import rows
from diffusion.rng import derive_seed
from metrics import METRICS
from metrics.accounting import told_of_rows
from metrics.expected import Sizes, expected_rows, work_of
from metrics.metric import Measurement
from metrics.pooling import pooled
from metrics.subject import Fidelity, Subject
from trainable.evaluation import evaluate, evaluation_rows
from tuning.files import write_csv_atomic

#: Its trial and its step.
Model = tuple[str, int]
#: Parts of the evidence that are made of samples where the model takes prompts.
RESTORED: Final = frozenset({"denoisings", "denoising_descriptors"})
COLUMNS = ("num_images", "trial_id", "step", "setting", "value", "metric", "measured", "network_rows")


class FidelityMeasuring:
    """Measures the last candidate of each trial, and keeps what was measured in a table.

    All models, and all values of a setting, see the same noise. What the table has already is not measured again.

    Args:
        study: as ``load_study`` reads it.
        inputs: where to look for models and images that are not where the study had them.
        num_images: generated images of each measurement.
        settings: which to vary.
        watch: is told of the work.

    Raises:
        StudyError: an input or a model is not there, or cannot be read.
    """

    def __init__(
        self, study: Study, inputs: Path | None, num_images: int, watch: Watch, settings: Sequence[Setting] = SETTINGS
    ) -> None:
        self._study, self._watch, self._num_images = study, watch, num_images
        self._chosen = last_candidates(study)
        self._seed = derive_seed(study.config.seed, "fidelity")
        watch.stage("read images")
        self._models = CandidateModels(study, inputs)
        self._config, self._subjects = self._models.config, self._models.subjects
        self._fidelity = Fidelity(**{**self._config.trial_fidelity, "num_images": num_images})
        self._rows = evaluation_rows(self._fidelity)
        self._settings = [setting.of(self._config) for setting in settings]

    def run(self, file: Path) -> pd.DataFrame:
        """Measure what ``file`` does not have yet, written there model by model; answers what belongs to this run.

        Raises:
            StudyError: the weights of a model are not there.
        """
        known = _read(file)
        models = self._chosen
        tasks = [(model, setting, value) for model in models for setting, value in self._values()]
        left = [task for task in tasks if not self._is_known(known, *task)]
        if not tasks:
            raise StudyError(
                f"a setting must change a metric that the search goes by, but {', '.join(self._goals)} depend on none; "
                "there is nothing to compare"
            )
        self._watch.total(sum(self._expected(setting, value) for _, setting, value in left))
        for position, model in enumerate(models):
            wanted = [(setting, value) for of, setting, value in left if of == model]
            if not wanted:
                continue
            self._watch.stage(f"measure model {position + 1} of {len(models)}")
            with reading():
                new = [{"num_images": self._num_images, **row} for row in self._measure(model, wanted)]
            known = pd.concat([known, pd.DataFrame(new)], ignore_index=True) if len(known) else pd.DataFrame(new)
            write_csv_atomic(file, COLUMNS, rows(known))
        return self._belonging(known, tasks)

    def _values(self) -> Iterator[tuple[Setting, int]]:
        for setting in self._settings:
            if self._metrics(setting):
                yield from ((setting, value) for value in (*setting.candidates, setting.reference))

    def _metrics(self, setting: Setting) -> tuple[str, ...]:
        """What the search goes by, and the setting changes: under prompts what is restored is what was sampled."""
        names = self._goals
        sampled = {name for name in names if self._subjects[0].space.prompts and RESTORED & set(METRICS[name].needs)}
        if setting.name == SAMPLING.name:
            return tuple(name for name in names if name in {*SAMPLING.metrics(names), *sampled})
        return tuple(name for name in setting.metrics(names) if name not in sampled)

    @cached_property
    def _goals(self) -> tuple[str, ...]:
        return self._config.judged_metrics

    def _measure(self, model: Model, wanted: Sequence[tuple[Setting, int]]) -> Iterator[Mapping[str, Any]]:
        found: dict[tuple[str, int], list[dict[str, Measurement]]] = {}
        counts: dict[tuple[str, int], int] = {}
        for denoiser, subject in self._models.of(*model):
            with told_of_rows(denoiser.network, lambda count: self._watch.advance(work_of(count))):
                for setting, value in wanted:
                    fidelity = replace(self._fidelity, **{setting.name: value})
                    names, key = self._metrics(setting), (setting.name, value)
                    evidence, values = evaluate(names, denoiser, subject, fidelity, self._seed, self._rows)
                    found.setdefault(key, []).append(values)
                    counts[key] = counts.get(key, 0) + sum(evidence.counts.values())
        for (name, value), measured in found.items():
            for metric in measured[0]:
                yield {
                    "trial_id": model[0],
                    "step": model[1],
                    "setting": name,
                    "value": value,
                    "metric": metric,
                    "measured": pooled([of[metric] for of in measured]).value,
                    "network_rows": counts[name, value],
                }

    def _expected(self, setting: Setting, value: int) -> int:
        fidelity, names = replace(self._fidelity, **{setting.name: value}), self._metrics(setting)
        return sum(expected_rows(names, fidelity, _sizes(subject)) for subject in self._subjects)

    def _is_known(self, known: pd.DataFrame, model: Model, setting: Setting, value: int) -> bool:
        if known.empty:
            return False
        same = (known["num_images"] == self._num_images) & (known["setting"] == setting.name)
        same &= (known["trial_id"] == model[0]) & (known["step"] == model[1]) & (known["value"] == value)
        return set(self._metrics(setting)) <= set(known.loc[same, "metric"])

    def _belonging(self, known: pd.DataFrame, tasks: Sequence[tuple[Model, Setting, int]]) -> pd.DataFrame:
        keys = {(*model, setting.name, value) for model, setting, value in tasks}
        columns = known[["trial_id", "step", "setting", "value"]].itertuples(index=False)
        belongs = np.array([tuple(row) in keys for row in columns], dtype=bool)
        return known[belongs & (known["num_images"] == self._num_images).to_numpy()].reset_index(drop=True)


def _sizes(subject: Subject) -> Sizes:
    is_prompted = bool(subject.space.prompts)
    return Sizes(len(subject.space.forget), len(subject.space.neighbours), is_prompted, 2 if is_prompted else 1)


def last_candidates(study: Study) -> list[Model]:
    """The last candidate of each trial: models of one trial are too much alike to count as several.

    Raises:
        StudyError: there are fewer than two.
    """
    last = study.candidates
    if len(last):
        last = last.sort_values("step").groupby("trial_id").tail(1).sort_values("trial_id")
    if len(last) < 2:
        raise StudyError(
            f"an order needs the models of at least two trials, but {study.name} has {len(last)}; wait for more reports"
        )
    return [(str(row["trial_id"]), int(row["step"])) for row in rows(last)]


def _read(file: Path) -> pd.DataFrame:
    if not file.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    try:
        table = pd.read_csv(file, dtype={"trial_id": str}, float_precision="round_trip")
        return table[list(COLUMNS)]
    except (ValueError, KeyError) as error:
        raise StudyError(
            f"{file} must be a table that this command wrote, but is not ({error}); delete it to measure anew"
        ) from error
