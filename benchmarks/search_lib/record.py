"""Records real trials: each configuration is trained once and measured at every rung, single draws kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from torch.nn import functional

from benchmarks.search_lib.configurations import Configuration, configurations
from benchmarks.search_lib.recorded import LOOKS, Distance, Header, Record, Report, Trial, header_of, in_order, trial_of
from diffusion.rng import derive_seed
from metrics.evidence import Evidence
from metrics.fid import FrechetInceptionDistance
from metrics.metric import Measurement
from metrics.subject import Fidelity
from search_spaces import space_of
from trainable.failure import TrialFailure
from trainable.plan import Source, TrainingSettings, TrialPlan
from trainable.unlearner import Unlearner
from trainable.workloads.workload import WorkloadSettings
from tuning.config import StudyConfig, load_config
from tuning.files import write_text_atomic
from tuning.measuring import calibrate, measure_unmemorised, prepare
from tuning.sources import select

STUDY: Final = "benchmarks/search_lib/study.yaml"
#: Rows of one evaluation of the likelihood with its vector-Jacobian product: one forward, twice that backward.
ROWS_OF_A_PROBE: Final = 3


class Recorder:
    """Trains and measures configurations of the recorded study in this process, on one thread."""

    def __init__(self) -> None:
        self.config, _ = load_config(["--study", STUDY])
        source = Source(self.config.workload, select(WorkloadSettings, self.config))
        prepared, _ = prepare(source, self.config.methods)
        self.plan = TrialPlan(
            source=source,
            training=select(TrainingSettings, self.config),
            fidelity=Fidelity(**self.config.trial_fidelity),
            metrics=("nll",),
            evaluation_seed=derive_seed(self.config.seed, "evaluation"),
            prepared=prepared,
        )
        self.workload = source.open()
        self.subject = self.workload.subject(prepared[0])
        self.denoiser = source.load(self.workload, source.settings.model)
        self._weights = {name: value.clone() for name, value in self.denoiser.network.state_dict().items()}
        self.calibration = calibrate(self.plan, derive_seed(self.config.seed, "calibration"))
        evidence = self._evidence()
        self._untouched = {count: self._fid(evidence, count) for count in LOOKS}
        self.untouched = self._report(0)

    def header(self) -> Header:
        """What the trials have in common."""
        config, fidelity = self.config, self.plan.fidelity
        unseen = measure_unmemorised(self.plan, config.unseen, fidelity, self.plan.evaluation_seed)
        return Header(
            command="python -m benchmarks.search record",
            study=STUDY,
            rungs=config.rungs,
            batch_size=config.batch_size * config.accumulation,
            rows=evaluation_rows(config),
            calibration=self.calibration,
            untouched=self.untouched,
            unseen_bits_per_dim=unseen["nll"].value,
            versions={name: version(name) for name in ("torch", "diffusers")} | {"python": sys.version.split()[0]},
        )

    def record(self, configuration: Configuration) -> Trial:
        """Train a configuration from the untouched model and measure it at every rung."""
        self.denoiser.network.load_state_dict(self._weights)
        settings = space_of(configuration.method).resolve(configuration.settings, self.calibration, {})
        config = {
            "trial_id": configuration.name,
            "method": configuration.method,
            "seed": configuration.seed,
            **settings,
        }
        unlearner = Unlearner(self.denoiser, self.workload, self.plan.prepared[0], self.plan.training, config)
        reports, reason = [], ""
        try:
            for step in self.config.rungs:
                unlearner.train_to(step)
                reports.append(self._report(step))
        except TrialFailure as failure:
            reason = failure.reason
        return Trial(**asdict(configuration), reports=tuple(reports), reason=reason)

    def _report(self, step: int) -> Report:
        evidence = self._evidence()
        cosines = functional.cosine_similarity(
            evidence.denoising_descriptors.double(), evidence.forget_descriptors.double()[:, None], dim=-1
        )
        return Report(
            step=step,
            similarities=_rounded(cosines.flatten()),
            bits_per_dim=_rounded(evidence.forget_likelihood.by_probe.flatten()),
            distances={count: self._distance(evidence, count) for count in LOOKS},
        )

    def _distance(self, evidence: Evidence, count: int) -> Distance:
        ours, other = self._fid(evidence, count), self._untouched[count]
        difference = torch.tensor(ours.replicates) - torch.tensor(other.replicates)
        return Distance(round(ours.value, 6), round(float(difference.std()), 6))

    def _evidence(self, num_images: int | None = None, begun: Evidence | None = None) -> Evidence:
        fidelity = Fidelity(**{**vars(self.plan.fidelity), "num_images": num_images or max(LOOKS)})
        return Evidence(self.denoiser, self.subject, fidelity, self.plan.evaluation_seed, begun)

    def _fid(self, evidence: Evidence, count: int) -> Measurement:
        """Of the first images; all are made first, so that they are made once."""
        _ = evidence.sample_features
        return FrechetInceptionDistance().compute(self._evidence(count, evidence))


def evaluation_rows(config: StudyConfig) -> dict[str, int]:
    """Network rows of one evaluation at full fidelity."""
    return {
        "images": config.num_images * config.num_sampling_steps,
        "denoisings": config.num_denoisings * config.num_denoising_steps,
        "probes": config.num_probes * config.num_likelihood_evaluations * ROWS_OF_A_PROBE,
    }


def run(directory: Path, shard: int, num_shards: int, console: Console) -> None:
    """Record the configurations of one shard; those that lie in ``directory`` are passed over."""
    torch.set_num_threads(1)
    directory.mkdir(parents=True, exist_ok=True)
    wanted = configurations()[shard::num_shards]
    open_ones = [chosen for chosen in wanted if not (directory / f"{chosen.name}.json").exists()]
    recorder = Recorder()
    write_text_atomic(directory / "header.json", json.dumps(asdict(recorder.header())))
    for number, chosen in enumerate(open_ones, start=1):
        trial = recorder.record(chosen)
        write_text_atomic(directory / f"{chosen.name}.json", json.dumps(asdict(trial)))
        console.print(f"{number}/{len(open_ones)} {chosen.name} {_shown(chosen.settings)} {summary(trial)}")


def combine(directory: Path, path: Path) -> Record:
    """One file of all that was recorded.

    Raises:
        FileNotFoundError: nothing was.
    """
    header = header_of(json.loads((directory / "header.json").read_text(encoding="utf-8")))
    files = [directory / f"{chosen.name}.json" for chosen in configurations()]
    trials = [trial_of(json.loads(file.read_text(encoding="utf-8"))) for file in files if file.exists()]
    record = Record(header, in_order(trials))
    record.save(path)
    return record


def summary(trial: Trial) -> str:
    """The last report in a few numbers."""
    if not trial.reports:
        return trial.reason
    last = trial.reports[-1]
    sscd, nll = (sum(draws) / len(draws) for draws in (last.similarities, last.bits_per_dim))
    return f"sscd {sscd:.3f} nll {nll:.3f} fid {last.distances[max(LOOKS)].value:.2f} {trial.reason}"


def _shown(settings: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.3g}" for name, value in settings.items())


def _rounded(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
