"""Trials and measurements go to machines that have what ``resources_per_trial`` names, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from analysis.load import load_study
from trainable.failure import TrialFailure
from trainable.testing import write_tiny_study
from tuning.config import load_config
from tuning.files import StudyFiles
from tuning.terminal import StudyView
from tuning.workers import Workers, as_options, fitting

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.study

#: A workload that takes the CPU for its GPU, and notes on which machine it loads a model.
WHERE = """
import os
from pathlib import Path
import ray
import torch
from trainable.device import DeviceSettings
from trainable.testing import TinyWorkload

# The GPUs of these machines are Ray's belief alone. A worker looks its workload up before it claims its device.
if ray.is_initialized():
    DeviceSettings.claim = lambda self: torch.device("cpu")

class Where(TinyWorkload):
    def load(self, model):
        with (Path(__file__).parent / "nodes.txt").open("a") as nodes:
            nodes.write(ray.get_runtime_context().get_node_id() + "\\n")
        return super().load(model)
"""


@pytest.fixture(scope="module")
def cluster():
    """A head without trials and two machines with a GPU each, of different kinds; the GPUs are Ray's belief alone."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    kinds = ({"small_gpu": 1}, {"large_gpu": 1})
    nodes = [cluster.add_node(num_cpus=1, num_gpus=1, resources=kind) for kind in kinds]
    cluster.wait_for_nodes()
    yield cluster.address, [node.node_id for node in nodes]
    cluster.shutdown()


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    directory = tmp_path_factory.mktemp("kinds")
    (directory / "where.py").write_text(WHERE)
    return write_tiny_study(
        directory,
        workload="where:Where",
        num_trials=2,
        methods=["siss", "neggrad"],
        num_confirmed=1,
        gpus_per_trial=1.0,
        resources_per_trial={"large_gpu": 1},
    )


def test_a_study_runs_on_machines_of_its_kind(cluster, study_file, tmp_path):
    address, (_small, large) = cluster
    words = [sys.executable, str(ROOT / "tune_unlearning.py"), "--study", str(study_file), "--address", address]
    done = subprocess.run(
        [*words, "--storage-path", str(tmp_path)], cwd=study_file.parent, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    study = load_study(tmp_path / "tiny")
    assert len(study.reports) == 4
    assert study.config.resources_per_trial == {"large_gpu": 1}
    nodes = (study_file.parent / "nodes.txt").read_text().split()
    assert len(nodes) >= 4  # baselines, trials, the front measured again
    assert set(nodes) == {large}


@pytest.mark.parametrize(
    ("flags", "slots"),
    [
        (["--gpus-per-trial", "0.25", "--cpus-per-trial", "0.25", "--resources-per-trial", "large_gpu=0.25"], 4),
        (["--gpus-per-trial", "1", "--resources-per-trial", "large_gpu=1"], 1),
        (["--gpus-per-trial", "1", "--resources-per-trial", "large_gpu=0.001"], 1),
        (["--gpus-per-trial", "1", "--max-concurrent-trials", "50"], 50),
    ],
    ids=["parts", "kind", "any", "more than fit, since a cluster may grow"],
)
def test_as_many_trials_at_a_time_as_fit_or_are_asked_for(cluster, study_file, tmp_path, monkeypatch, flags, slots):
    monkeypatch.syspath_prepend(study_file.parent)
    config, _ = load_config(["--study", str(study_file), "--address", cluster[0], *flags])
    view = StudyView(Console(), "kinds", metrics=config.metrics)
    with Workers(config, StudyFiles(tmp_path), view) as workers:
        assert workers.slots == slots


def test_a_study_says_that_a_machine_lacks_the_gpu_that_it_is_said_to_have(cluster, study_file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(study_file.parent)
    flags = ["--workload", "trainable.testing:TinyWorkload", "--address", cluster[0]]
    config, _ = load_config(["--study", str(study_file), *flags])
    view = StudyView(Console(), "none", metrics=config.metrics)
    says = r"^TrialFailure\[no gpu\]: torch must find a GPU .* got gpus_per_trial 1 .* or set gpus_per_trial 0$"
    try:
        with pytest.raises(TrialFailure, match=says), Workers(config, StudyFiles(tmp_path), view) as workers:
            workers.prepare()
    finally:
        ray.shutdown()


def test_a_machine_has_room_for_whole_trials_of_which_it_has_everything():
    assert fitting({"CPU": 8, "GPU": 2}, {"CPU": 3, "GPU": 0.5}) == 2
    assert fitting({"CPU": 8}, {"CPU": 3, "GPU": 0.0}) == 2
    assert fitting({"CPU": 8, "GPU": 2}, {"CPU": 1, "GPU": 1, "large_gpu": 1}) == 0
    assert fitting({"CPU": 0.3}, {"CPU": 0.1}) == 3


def test_options_of_a_task():
    resources = {"CPU": 2.0, "GPU": 0.5, "small_gpu": 1.0}
    assert as_options(resources) == {"num_cpus": 2.0, "num_gpus": 0.5, "resources": {"small_gpu": 1.0}}
    assert ray.remote(**as_options(resources)) is not None
