"""The models behind a study's reports, opened in this process: weights in place, whole pipelines written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.utils import logging as diffusers_log
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from analysis.inputs import INPUTS, with_inputs_here
from analysis.load import Study, StudyError
from diffusion.denoiser import Denoiser
from metrics.subject import Subject
from trainable.depot import Depot
from trainable.failure import OUT_OF_MEMORY_REMEDY
from trainable.plan import Source, places
from trainable.workloads import WORKLOADS
from tuning.model_files import find_file
from tuning.schema import StudyConfig, is_remote
from tuning.sources import source_of

#: Of the network, in a pipeline's folder of it.
WEIGHTS = "diffusion_pytorch_model.safetensors"


def depot_of(study: Study) -> Depot:
    """Where the files of a study are: its directory on this machine, and its object store where it has one."""
    storage = study.config.storage_path
    return Depot(study.files.root, storage if is_remote(storage) else None)


def open_source(config: StudyConfig) -> Source:
    """The workload of a study whose inputs are on this machine, on as many threads as torch takes by itself.

    What diffusers advises when it loads a model is for programmers, and not said.

    Raises:
        StudyError: the workload cannot be imported.
    """
    diffusers_log.set_verbosity_error()
    try:
        WORKLOADS[config.workload]
    except (KeyError, ImportError, AttributeError) as error:
        raise StudyError(
            f"the workload of the study must be importable, but {config.workload} is not ({error}); "
            "run the command where the study was started"
        ) from None
    # What a trial was given of a GPU is nothing that a process without Ray must have, or keep to.
    return source_of(config.model_copy(update={"gpus_per_trial": 0.0}), torch.get_num_threads())


@dataclass(frozen=True)
class CandidateFiles:
    """Where the weights of one model of a study lie, for each forget set of the study.

    Attributes:
        depot: of the study.
        weights: a file of the network's weights each, below ``candidates``.
        pipelines: a pipeline each, below ``checkpoints``; those of front members alone are there.
    """

    depot: Depot
    weights: tuple[Path, ...]
    pipelines: tuple[Path, ...]

    @classmethod
    def of(cls, study: Study, source: Source, trial_id: str, step: int) -> CandidateFiles:
        """The files of the model behind a report, whether they are there or not."""
        files, key = study.files, (trial_id, step)
        weights = places(files.candidate(*key), source.settings, ".safetensors")
        return cls(depot_of(study), tuple(weights), tuple(places(files.checkpoint(*key), source.settings)))

    @contextmanager
    def weights_at_hand(self, index: int) -> Iterator[Path]:
        """A safetensors file of the weights of one forget set's model, on this machine while the block runs.

        Raises:
            StudyError: neither weights nor pipeline are there.
        """
        with ExitStack() as stack:
            try:
                file = stack.enter_context(self.depot.at_hand(self.weights[index]))
            except FileNotFoundError:  # `candidates` may be deleted once a study is finished
                pipeline = stack.enter_context(self.pipeline_at_hand(index))
                file = self._weights_of(pipeline, index)
            yield file

    def _weights_of(self, pipeline: Path | None, index: int) -> Path:
        file = None if pipeline is None else find_file(str(pipeline), WEIGHTS, "unet")
        if file is None:
            raise StudyError(
                f"the weights of a model must be in candidates or checkpoints, but {self.depot.location} has neither "
                f"{self.weights[index].name} nor {self.pipelines[index].name}; copy them from where the study was "
                "run, or name a member of the front"
            )
        return file

    @contextmanager
    def pipeline_at_hand(self, index: int) -> Iterator[Path | None]:
        """The pipeline of a front member on this machine while the block runs; None of another candidate."""
        path = self.pipelines[index]
        was_here = path.exists()
        try:
            self.depot.download(path)
        except FileNotFoundError:
            yield None
            return
        try:
            yield path
        finally:
            if not was_here and self.depot.url is not None:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def reading() -> Iterator[None]:
    """Models and images that cannot be read inside are the user's to put right.

    Raises:
        StudyError: one of them cannot be read, or memory does not hold it.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise StudyError(f"one row must fit into memory, but does not: {error}; {OUT_OF_MEMORY_REMEDY}") from error
    except (ValueError, OSError) as error:
        raise StudyError(str(error)) from error


def put_weights(network: nn.Module, file: Path) -> None:
    """Put the weights of a safetensors file into a network of the same architecture.

    Raises:
        StudyError: the file is cut short, or of another network.
    """
    try:
        network.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(
            f"the weights of a model must be whole and fit the study's model, but {file} does not: {reason}; "
            "copy it again from where the study was run"
        ) from None


class CandidateModels:
    """The models behind a study's reports, one after another in one network.

    Args:
        study: as ``load_study`` reads it.
        inputs: where to look for models and images that are not where the study had them.

    Attributes:
        config: of the study, its inputs on this machine.
        subjects: what a model of each forget set is measured against.

    Raises:
        StudyError: an input is not there, or cannot be read.
    """

    def __init__(self, study: Study, inputs: Path | None = None) -> None:
        self._study = study
        self.config = with_inputs_here(study.config, INPUTS, inputs)
        with reading():
            self._source = open_source(self.config)
            workloads = self._source.open_each()
            self.subjects = [workload.subject(workload.prepare()) for workload in workloads]
            self._denoiser = self._source.load(workloads[0], self.config.model)

    def of(self, trial_id: str, step: int) -> Iterator[tuple[Denoiser, Subject]]:
        """The model of each forget set, in the network that all share: use one before you ask for the next.

        Raises:
            StudyError: its weights are not there, or do not fit.
        """
        files = CandidateFiles.of(self._study, self._source, trial_id, step)
        for index, subject in enumerate(self.subjects):
            with files.weights_at_hand(index) as weights:
                put_weights(self._denoiser.network, weights)
            yield self._denoiser, subject
