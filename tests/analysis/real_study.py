"""A real study of the miniature model on disk, made by calling trials in this process: no Ray, a few seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from analysis.table import rows
from diffusion.rng import derive_seed, stream
from metrics.subject import Fidelity
from trainable.plan import TrainingSettings, TrialPlan, places
from trainable.testing import write_tiny_study
from trainable.trial import TrialRunner
from tuning.baseline import RETRAINED, UNTOUCHED, UNTOUCHED_SEARCH, Baseline
from tuning.config import StudyConfig, load_config, to_yaml
from tuning.files import StudyFiles, write_csv_atomic
from tuning.measuring import measure_model, prepare
from tuning.quality import as_measured
from tuning.records import Records, TrialState
from tuning.sources import select, source_of
from tuning.trials import parameter_columns

NUM_UNSEEN = 40
#: Forgets within its few steps.
SISS = {"method": "siss", "lambd": 0.5, "scaling_norm": 30.0, "seed": 11, "repeat": 0}
#: Does not.
NAIVE = {"method": "naive_deletion", "seed": 12, "repeat": 0}


def unseen_patterns(count: int = NUM_UNSEEN) -> np.ndarray:
    """Images of the kind of the checkerboard to forget: squares of 2×2 pixels, black or white by chance, uint8."""
    squares = torch.rand(count, 4, 4, generator=stream(0, "patterns")) > 0.5
    return (255 * squares.repeat_interleave(2, 1).repeat_interleave(2, 2)).byte().numpy()


def write_inputs(folder: Path) -> Path:
    """Models, images and a study file in an existing directory; returns the file."""
    np.savez(folder / "unseen.npz", images=unseen_patterns())
    changes = {
        "unseen": str(folder / "unseen.npz"),
        "rungs": [2, 24],
        "learning_rate": 1e-3,
        "constraints": ["fid <= 50x"],
        "num_trials": 2,
        "final_num_probes": 2,
        "final_num_denoisings": 8,
        "methods": ["siss", "naive_deletion"],
        "storage_path": str(folder / "runs"),
    }
    return write_tiny_study(folder, **changes)


def run_real_study(file: Path, *flags: str, trials: Sequence[Mapping[str, Any]] = (SISS, NAIVE)) -> Path:
    """Run the study of a file as a launch would, but for its search; its front is the first trial's last report.

    Args:
        file: a study file.
        flags: of the launch command.
        trials: method, hyper-parameters, seed and repeat of each.
    """
    config, _ = load_config(["--study", str(file), *flags])
    files = StudyFiles(config.root)
    files.root.mkdir(parents=True)
    files.study.write_text(to_yaml(config), encoding="utf-8")
    plan, labels = _plan(config, files)
    _baseline(config, plan, labels).save(files.baseline)
    _front(config, plan, files, _run(config, plan, files, trials))
    return files.root


def _plan(config: StudyConfig, files: StudyFiles) -> tuple[TrialPlan, Mapping[str, str]]:
    source = source_of(config, 1)
    prepared, labels = prepare(source, config.methods)
    plan = TrialPlan(
        source=source,
        training=select(TrainingSettings, config),
        fidelity=Fidelity(**config.trial_fidelity),
        metrics=config.metrics,
        evaluation_seed=derive_seed(config.seed, "evaluation"),
        prepared=prepared,
        candidates=files.candidates,
    )
    return plan, labels


def _baseline(config: StudyConfig, plan: TrialPlan, labels: Mapping[str, str]) -> Baseline:
    fidelity, seed = Fidelity(**config.final_fidelity), derive_seed(config.seed, "final")
    models = {UNTOUCHED: config.model, RETRAINED: config.retrained_model}
    measured = {
        name: as_measured(measure_model(plan, model, fidelity, seed))
        for name, model in models.items()
        if model is not None
    }
    return Baseline({**measured, UNTOUCHED_SEARCH: measured[UNTOUCHED]}, {"forget_gradient_norm": 1.0}, labels)


def _run(
    config: StudyConfig, plan: TrialPlan, files: StudyFiles, trials: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    baseline = Baseline.load(files.baseline).search_reference
    records = Records(
        files,
        parameters=parameter_columns(config),
        metrics=config.metrics,
        constraints=config.constraints,
        baseline=baseline,
        suffixes=config.report_suffixes,
    )
    runner = TrialRunner(plan)
    for number, given in enumerate(trials):
        trial = {"trial_id": f"{number:05d}", **given}
        records.start_trial(trial["trial_id"], trial)
        runner.start(trial)
        while not runner.finished:
            records.add_report(runner.advance())
        records.end_trial(trial["trial_id"], trial, TrialState.COMPLETE)
    records.finalize()
    return rows(records.reports_frame())


def _front(config: StudyConfig, plan: TrialPlan, files: StudyFiles, reports: Sequence[Mapping[str, Any]]) -> None:
    """As the end of a study leaves it, with one member and its pipeline; but its values are those of its report."""
    member = next(row for row in reversed(reports) if row["trial_id"] == "00000")
    key = (str(member["trial_id"]), int(member["step"]))
    workloads = plan.source.open_each()
    network = plan.source.load(workloads[0], config.model).network
    weights = places(files.candidate(*key), plan.source.settings, ".safetensors")
    pipelines = places(files.checkpoint(*key), plan.source.settings)
    for workload, file, pipeline in zip(workloads, weights, pipelines, strict=True):
        network.load_state_dict(load_file(file))
        workload.save_pipeline(network, pipeline)
    row = {**member, "feasible": True, "checkpoint": str(files.checkpoint(*key).relative_to(files.root))}
    shown = {name: None if value != value else value for name, value in row.items()}
    write_csv_atomic(files.front, list(shown), [shown])
