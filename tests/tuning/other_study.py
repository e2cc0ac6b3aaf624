"""A finished study of other people, as its files: made-up measurements, no training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from small_study import FIDELITY, FINAL_FIDELITY

from tuning.config import StudyConfig, to_yaml
from tuning.files import StudyFiles, write_csv_atomic

RUNGS = (10, 20)
CALIBRATION = {"retain_gradient_norm": 50.0}
SEARCHED = {"sscd": 0.9, "nll": 3.0, "fid": 10.0, "inception_score": 8.0}
UNTOUCHED = {"sscd": 0.88, "nll": 3.1, "fid": 9.0, "inception_score": 8.1}
IDEAL = {"sscd": 0.1, "nll": 6.0}
SETTINGS = ("lambd", "scaling_norm", "scaling_norm_ratio", "eta")
METRICS = ("sscd", "nll", "fid", "inception_score")


def make_config(root: Path, **changes: Any) -> StudyConfig:
    values: dict[str, Any] = {
        "name": root.name, "storage_path": str(root.parent), "workload": "unconditional", "model": "base",
        "retain": "digits.npz", "forget": ("tshirt.png",), "methods": ("siss", "erasediff", "naive_deletion"),
        "num_trials": 20, "rungs": RUNGS, "batch_size": 8, "learning_rate": 1e-4, "adam_betas": (0.95, 0.999),
        "weight_decay": 1e-6, "max_grad_norm": 1.0, "evaluation_batch_size": 128, "num_neighbours": 8,
        "num_retain_images": 64, **FIDELITY, **{f"final_{name}": number for name, number in FINAL_FIDELITY.items()},
    }  # fmt: skip
    return StudyConfig.model_validate({**values, **changes})


def random_trials(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Trials by turns of the three methods, each with its two reports."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        method = ("siss", "erasediff", "naive_deletion")[number % 3]
        ratio = float(np.exp(rng.uniform(np.log(0.02), np.log(2.0))))
        settings = {
            "siss": {
                "lambd": float(rng.uniform(0, 1)),
                "scaling_norm": ratio * CALIBRATION["retain_gradient_norm"],
                "scaling_norm_ratio": ratio,
            },
            "erasediff": {"eta": float(np.exp(rng.uniform(np.log(1e-4), np.log(1e-2))))},
            "naive_deletion": {},
        }[method]
        reports = [
            {
                "step": step,
                "rung": rung,
                "sscd": float(rng.uniform(0.1, 0.9)),
                "nll": float(rng.uniform(3, 6)),
                "fid": float(rng.uniform(9, 15)),
                "inception_score": float(rng.uniform(6, 8)),
            }
            for rung, step in enumerate(RUNGS)
        ]
        trials.append({"method": method, "settings": settings, "reports": reports, "state": "COMPLETE"})
    return trials


def write_other(
    root: Path,
    trials: Sequence[Mapping[str, Any]],
    *,
    front: Sequence[int] | None = (),
    metrics: Sequence[str] = METRICS,
    columns: Sequence[str] = SETTINGS,
    **config: Any,
) -> Path:
    """Write a study's files.

    Args:
        root: its directory.
        trials: as `random_trials` makes them.
        front: numbers of the trials whose last report is a member of the front; None for a study without a front.
        metrics: those that stand in the tables.
        columns: parameters that stand in the tables.
        config: fields of its configuration.
    """
    files = StudyFiles(root)
    root.mkdir(parents=True, exist_ok=True)
    files.study.write_text(to_yaml(make_config(root, **config)))
    models = {"untouched": UNTOUCHED, "untouched_search": SEARCHED, "retrained": IDEAL}
    entries = {model: {name: {"value": value} for name, value in of.items()} for model, of in models.items()}
    files.baseline.write_text(json.dumps({**entries, "calibration": CALIBRATION}))
    known = [
        {"trial_id": f"{number:05d}", "method": trial["method"], **{n: trial["settings"].get(n) for n in columns}}
        for number, trial in enumerate(trials)
    ]
    states = [{"state": trial["state"], "reason": ""} for trial in trials]
    write_csv_atomic(
        files.trials,
        ["trial_id", "state", "reason", "method", *columns],
        [{**of, **state} for of, state in zip(known, states, strict=True)],
    )
    reports = [
        {
            **of,
            "step": report["step"],
            "rung": report["rung"],
            **{metric: report[metric] for metric in metrics},
            "feasible": report["fid"] <= 12.0,
            "violation": max(0.0, report["fid"] / 12.0 - 1),
            "candidate": True,
        }
        for of, trial in zip(known, trials, strict=True)
        for report in trial["reports"]
    ]
    header = ["trial_id", "method", "step", "rung", *columns, *metrics, "feasible", "violation", "candidate"]
    write_csv_atomic(files.reports, header, reports)
    if front is not None:
        last = {row["trial_id"]: row for row in reports}
        write_csv_atomic(files.front, header, [last[f"{number:05d}"] for number in front])
    return root
