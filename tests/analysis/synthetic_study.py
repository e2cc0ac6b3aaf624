"""A made-up but plausible study on disk: five methods, most of them as the paper's picture has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from analysis.configurations import points_of
from analysis.front import pareto_front
from tuning.config import Constraint, Objective, StudyConfig, to_yaml
from tuning.files import StudyFiles, write_csv_atomic

OBJECTIVES = (Objective("sscd", "minimize"), Objective("nll", "maximize"))
CONSTRAINTS = (Constraint("fid", "<=", 1.2, True),)
UNTOUCHED = {"sscd": 0.86, "nll": 3.3, "fid": 16.0}
RETRAINED = {"sscd": 0.24, "nll": 4.4, "fid": 15.4}
METHODS = ("siss", "siss_no_is", "erasediff", "naive_deletion", "neggrad")
# method → (how far it forgets, what that costs in fid)
_CHARACTER = {
    "siss": (0.9, 2.2),
    "siss_no_is": (0.8, 2.6),
    "naive_deletion": (0.12, 1.5),
    "erasediff": (2.5, 60.0),
    "neggrad": (3.0, 140.0),
}


def make_config(**changes: object) -> StudyConfig:
    values: dict[str, object] = {
        "name": "synthetic", "workload": "unconditional", "model": "base", "retain": "digits.npz",
        "forget": ("tshirt.png",), "methods": METHODS, "num_trials": 20, "rungs": (10, 20, 30, 40), "batch_size": 32,
        "learning_rate": 1e-4, "adam_betas": (0.95, 0.999), "weight_decay": 1e-6, "max_grad_norm": 1.0,
        "num_images": 256, "num_sampling_steps": 15, "num_denoisings": 16, "num_denoising_steps": 8,
        "injection_timestep": 500, "num_probes": 4, "num_likelihood_evaluations": 70, "num_membership_noises": 32,
        "evaluation_batch_size": 128, "num_neighbours": 8, "num_retain_images": 64, "final_num_images": 512,
        "final_num_probes": 16, "final_num_denoisings": 64,
    }  # fmt: skip
    return StudyConfig.model_validate({**values, **changes})


def write_study(
    root: Path,
    reports: pd.DataFrame | None = None,
    *,
    config: StudyConfig | None = None,
    finished: bool = True,
    retrained: bool = True,
    failed: bool = True,
    images: bool = False,
    untouched: Mapping[str, float] | None = None,
    **settings: Any,
) -> Path:
    """A study's directory, of a whole configuration or of settings of the made-up one.

    `untouched` changes values of the baseline's untouched model.
    """
    files = StudyFiles(root)
    files.root.mkdir(parents=True, exist_ok=True)
    config = config or make_config(**{"name": files.name, **settings})
    files.study.write_text(to_yaml(config), encoding="utf-8")
    write_baseline(files.baseline, retrained, {**UNTOUCHED, **(untouched or {})})
    table = judged(make_reports(20, seed=int(settings.get("seed", 3))) if reports is None else reports)
    write_table(files.reports, table)
    write_table(files.trials, make_trials(table, failed))
    if finished:
        front = pareto_front(points_of(table), config.objectives, config.constraints, UNTOUCHED)
        write_table(files.front, remeasured(front))
        files.timing.write_text("{}")
    if images:
        draw(files, table)
    return files.root


def make_reports(num_trials: int, seed: int = 3) -> pd.DataFrame:
    rng, rows = np.random.default_rng(seed), []
    for trial in range(num_trials):
        method = METHODS[trial % len(METHODS)]
        reach, cost = _CHARACTER[method]
        strength, taste = rng.uniform(0.3, 1.1), rng.uniform(0.5, 1.6)
        for rung, step in enumerate((10, 20, 30, 40)):
            way = reach * strength * (rung + 1) / 4
            gain = np.clip(way, 0, 0.97)
            sscd = 0.86 - 0.62 * min(gain / taste**0.7, 1.0) + rng.normal(0, 0.02)
            rows.append(
                {
                    "trial_id": f"{trial:05d}", "method": method, "step": step, "rung": rung, "repeat": 0,
                    "seed": trial, "forget_image": 0, "lambd": strength / 2 if method == "siss" else np.nan,
                    "sscd": sscd, "sscd_stderr": 0.02, "sscd_num": 16,
                    "nll": 3.3 + 1.1 * way * taste, "nll_stderr": 0.06, "nll_num": 4,
                    "fid": 16 + cost * way**2 + rng.normal(0, 0.4), "fid_stderr": 0.5, "fid_num": 256,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def make_repeated_reports(num_settings: int, num_repeats: int) -> pd.DataFrame:
    """The reports of `make_reports`, each setting with a parameter of its own and some with more than one run."""
    rng, first = np.random.default_rng(4), make_reports(num_settings)
    first["lambd"] = first["seed"] / 100
    tables = [first]
    for repeat in range(1, num_repeats):
        again = first[first["seed"] % 2 == 0].copy()
        again["trial_id"] = [f"{num_settings * repeat + seed:05d}" for seed in again["seed"]]
        again["seed"] += num_settings * repeat
        again[["sscd", "nll"]] += rng.normal(0, [0.03, 0.1], (len(again), 2))
        tables.append(again.assign(repeat=repeat))
    return pd.concat(tables, ignore_index=True)


def judged(reports: pd.DataFrame) -> pd.DataFrame:
    excess = np.maximum(0, reports["fid"] / (1.2 * UNTOUCHED["fid"]) - 1).where(reports["fid"].notna(), np.inf)
    return reports.assign(violation=excess, feasible=excess == 0, candidate=True)


def make_trials(reports: pd.DataFrame, failed: bool) -> pd.DataFrame:
    trials = reports.drop_duplicates("trial_id")[["trial_id", "method", "lambd", "seed"]]
    trials = trials.assign(state="COMPLETE", reason="", seconds=40.0, mlflow_run_id="")
    if failed:
        lost = {"trial_id": "00099", "method": "neggrad", "state": "FAIL", "reason": "diverged <at step 7>"}
        trials = pd.concat([trials, pd.DataFrame([lost])])
    return trials[["trial_id", "state", "reason", "method", "lambd", "seed", "seconds", "mlflow_run_id"]]


def remeasured(front: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    again = front.assign(**{f"{name}_search": front[name] for name in ("sscd", "nll", "fid")})
    again["sscd"] += rng.normal(0, 0.02, len(front))
    again["sscd_stderr"], again["nll_stderr"], again["fid_stderr"] = 0.01, 0.03, 0.3
    paths = [f"checkpoints/{row.trial_id}-{row.step}" for row in front.itertuples()]
    return again.assign(checkpoint=paths)


def draw(files: StudyFiles, reports: pd.DataFrame) -> None:
    """Pictures as a study draws them, each of another pattern: of the baselines, every report, and members again."""
    keys = [f"{row.trial_id}-{row.step}" for row in reports.itertuples()]
    front = pareto_front(points_of(reports), OBJECTIVES, CONSTRAINTS, UNTOUCHED)
    names = ["untouched", "untouched_search", "retrained", *keys]
    names += [f"{row.trial_id}-{row.step}-final" for row in front.itertuples()]
    files.images.mkdir()
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 255, (12, 12), dtype=np.uint8))
        small.resize((24, 24), Image.Resampling.NEAREST).save(files.images / f"{name}-samples.png")


def write_table(path: Path, table: pd.DataFrame) -> None:
    rows = [
        {name: None if pd.isna(value) else value for name, value in row.items()} for row in table.to_dict("records")
    ]
    write_csv_atomic(path, list(table.columns), rows)


def write_baseline(path: Path, retrained: bool, untouched: Mapping[str, float]) -> None:
    def entries(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
        return {name: {"value": value, "stderr": 0.02, "num_samples": 64} for name, value in values.items()}

    data = {
        "untouched": entries(untouched),
        "calibration": {"retain_gradient_norm": 180.0},
        "labels": {"fid": "FID (digit features)", "sscd": "SSCD (28×28 descriptor)", "nll": "NLL, bits/dim"},
    }
    path.write_text(json.dumps({**data, "retrained": entries(RETRAINED)} if retrained else data), encoding="utf-8")
