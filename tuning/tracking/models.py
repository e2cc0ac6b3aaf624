"""The models of a study's front in an MLflow store: each found by its tags before it is made.

MLflow makes a second model, and a second value of a metric, for whatever it is told twice, and knows a model that was
not given all of its files from one that was (``PENDING``, ``READY``).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from analysis.model_card import FILE_NAME
from tuning.tracking.key import StudyKey
from tuning.tracking.write import Model, has_own_note, note_tags

MODEL_TYPE: Final = "diffusers pipeline"
#: Tag: what the model's files were made from, so that they are not sent again.
CONTENT: Final = "content"
PARETO: Final = "pareto"


class Models:
    """One study's models in one store.

    Args:
        client: an MlflowClient.
        experiment_id: of the study's runs.
        key: which models are the study's.
    """

    def __init__(self, client: Any, experiment_id: str, key: StudyKey) -> None:
        self._client, self._experiment_id, self._key = client, experiment_id, key

    def apply(self, models: Sequence[Model], run_ids: Mapping[str, str]) -> None:
        """Bring the store to where ``models``, and no others of the study, are those of its front.

        Args:
            models: all of the front.
            run_ids: trial id → run id.
        """
        existing = dict(self._existing())
        for model in models:
            self._bring(model, existing.pop((model.trial_id, model.step), None), run_ids.get(model.trial_id))
        for known in existing.values():
            if known.tags.get(PARETO) != "false":
                self._client.set_logged_model_tags(known.model_id, {PARETO: "false", "recommended": "false"})

    def _existing(self) -> Iterator[tuple[tuple[str, int], Any]]:
        query, page = f"tags.study_id = '{self._key.study_id}'", None
        while True:
            found = self._client.search_logged_models([self._experiment_id], query, max_results=100, page_token=page)
            for model in found:
                if model.tags.get("step", "").isdecimal():
                    yield (model.tags.get("trial_id", ""), int(model.tags["step"])), model
            page = found.token
            if not page:
                return

    def _bring(self, model: Model, known: Any, run_id: str | None) -> None:
        known = known or self._create(model, run_id)
        files = list(self._files(model))
        content = _content(model, files)
        if str(known.status) != "READY" or known.tags.get(CONTENT) != content:
            self._send(known.model_id, model, files)
            self._client.finalize_logged_model(known.model_id, "READY")
        wanted = {**_tags(model, self._key), CONTENT: content}
        wanted |= {} if has_own_note(known.tags) else note_tags(model.note)
        changed = {key: value for key, value in wanted.items() if known.tags.get(key) != value}
        if changed:
            self._client.set_logged_model_tags(known.model_id, changed)
        if run_id is not None:
            self._link(known, model, run_id)

    def _create(self, model: Model, run_id: str | None) -> Any:
        return self._client.create_logged_model(
            self._experiment_id,
            name=model.name,
            source_run_id=run_id,
            tags=_tags(model, self._key),
            params=dict(model.params),
            model_type=MODEL_TYPE,
        )

    def _files(self, model: Model) -> Iterator[tuple[Path, str]]:
        """Files of the pipeline and the folder of each in the model; none where there is no pipeline on this machine.

        The card is sent by itself.
        """
        folder = Path(model.folder) if model.folder else None
        if folder is None or not folder.is_dir() or not self._key.allows(folder):
            return
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(folder)
            if path.is_file() and str(place) != FILE_NAME and self._key.allows(path):
                yield path, "" if place.parent == Path() else place.parent.as_posix()

    def _send(self, model_id: str, model: Model, files: Sequence[tuple[Path, str]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            card = Path(folder) / FILE_NAME
            card.write_text(model.card, encoding="utf-8")
            for path, place in [(card, ""), *files]:
                self._client.log_model_artifact(model_id, str(path), place or None)

    def _link(self, known: Any, model: Model, run_id: str) -> None:
        """The run's output, and the metrics of both. As points of the run they are the same to the millisecond."""
        from mlflow.entities import LoggedModelOutput, Metric

        told = sorted(known.metrics or (), key=lambda metric: metric.timestamp)
        measured = {metric.key: metric.value for metric in told}  # the latest of each
        metrics = [
            Metric(key, value, model.time_ms, model.step, model_id=known.model_id)
            for key, value in model.metrics.items()
            if measured.get(key) != value
        ]
        if metrics:
            self._client.log_batch(run_id, metrics=metrics)
        outputs = self._client.get_run(run_id).outputs
        if known.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            self._client.log_outputs(run_id, [LoggedModelOutput(known.model_id, model.step)])


def _tags(model: Model, key: StudyKey) -> dict[str, str]:
    identity = {"study": key.study, "study_id": key.study_id, "trial_id": model.trial_id, "step": str(model.step)}
    return {**model.tags, **identity, PARETO: "true"}


def _content(model: Model, files: Sequence[tuple[Path, str]]) -> str:
    """Changes with the card and the files. Weights of one trial and step are always the same, and as long."""
    digest = hashlib.sha256(model.card.encode())
    for path, place in files:
        digest.update(f"\0{place}/{path.name}\0{path.stat().st_size}".encode())
    return digest.hexdigest()[:32]
