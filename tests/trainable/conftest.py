"""A plan on the miniature workload, made once."""

import pytest
import torch

from metrics.subject import Fidelity
from trainable.plan import Source, TrainingSettings, TrialPlan
from trainable.testing import TinyWorkload, write_tiny_study
from trainable.workloads.workload import WorkloadSettings


@pytest.fixture(scope="session")
def plan(tmp_path_factory):
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny_study(directory)
    settings = WorkloadSettings(
        model=str(directory / "base"),
        retrained_model=str(directory / "retrained"),
        retain=str(directory / "retain.npz"),
        forget=(str(directory / "forget.png"),),
        num_neighbours=2,
        num_retain_images=8,
    )
    workload = TinyWorkload(settings, torch.device("cpu"))
    return TrialPlan(
        source=Source("trainable.testing:TinyWorkload", settings),
        training=TrainingSettings((2, 4), 8, 1, 3e-4, (0.95, 0.999), 1e-6, 1.0, 3),
        fidelity=Fidelity(24, 4, 8, 3, 500, 2, 16, 4, 32),
        metrics=("sscd", "nll", "fid", "inception_score", "regeneration_rate", "membership_loss"),
        evaluation_seed=1,
        prepared=(workload.prepare(),),
    )
