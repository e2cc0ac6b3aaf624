"""Cluster files are valid by Ray's own checks, pinned as the requirements are, and closed."""

import copy
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tuning.config import load_config

ROOT = Path(__file__).resolve().parents[2]
LAUNCHED = ("cluster.yaml", "clusters/gcp.yaml", "clusters/on_premise.yaml")
KUBERAY = ("clusters/kuberay_cluster.yaml", "clusters/kuberay_job.yaml")
SCHEMA = yaml.safe_load((Path(__file__).parent / "kuberay_schema.yaml").read_text())
RAY = re.search(r"^ray\[.*==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[1]


def load(name):
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_takes_the_file(name):
    validate_config(prepare_config(load(name)))


def test_ray_refuses_a_file_with_a_misspelt_field():
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_minuets"):
        validate_config(prepare_config({**load("cluster.yaml"), "idle_timeout_minuets": 5}))


@pytest.mark.parametrize("name", LAUNCHED)
def test_code_goes_to_every_node_without_what_is_large_or_secret(name):
    config = load(name)
    assert config["file_mounts"]["~/data-unlearning-search"] == "."
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert {"/.git", "/.venv", "/runs"} <= set(config["rsync_exclude"])
    assert any("set_up_node.sh" in command for command in config["setup_commands"])
    assert "export RAY_AUTH_MODE=token" in (ROOT / "clusters/node_profile.sh").read_text()


@pytest.mark.parametrize("name", LAUNCHED)
def test_dashboards_listen_on_loopback(name):
    *_, start = load(name)["head_start_ray_commands"]
    assert "--dashboard-host=127.0.0.1" in start
    assert any("mlflow_server.sh" in command for command in load(name)["head_start_ray_commands"])
    assert "--host 127.0.0.1" in (ROOT / "clusters/mlflow_server.sh").read_text()


@pytest.mark.parametrize("name", ["cluster.yaml", "clusters/gcp.yaml"])
def test_the_head_has_no_part_in_trials_and_workers_are_spot_machines_that_come_and_go(name):
    config = load(name)
    assert f":{RAY}-" in config["docker"]["image"]
    assert config["idle_timeout_minutes"] > 0
    types = dict(config["available_node_types"])
    assert types.pop(config["head_node_type"])["resources"] == {"CPU": 0}
    assert types
    for worker in types.values():
        assert worker["min_workers"] == 0 < worker["max_workers"]
        assert "spot" in str(worker["node_config"]).lower()


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_takes_the_file(name):
    jsonschema.validate(load(name), SCHEMA)


@pytest.mark.parametrize("change", [{"idleTimeoutSecond": 5}, {"version": "v3"}])
def test_a_wrong_kuberay_file_is_refused(change):
    cluster = copy.deepcopy(load(KUBERAY[0]))
    cluster["spec"]["autoscalerOptions"].update(change)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, SCHEMA)


def test_both_kuberay_files_have_one_cluster_with_token_and_closed():
    alone, inside = load(KUBERAY[0])["spec"], load(KUBERAY[1])["spec"]["rayClusterSpec"]
    assert alone["rayVersion"] == RAY
    assert alone["authOptions"] == {"mode": "token"}
    assert alone["networkPolicy"]["mode"] == "DenyAllIngress"
    mlflow = alone["headGroupSpec"]["template"]["spec"]["containers"].pop()
    assert mlflow["args"][:2] == ["--host", "127.0.0.1"]
    assert alone == inside
    assert f":{RAY}-" in (ROOT / "clusters/Dockerfile").read_text()


def test_the_kuberay_job_launches_a_study_that_the_launch_command_takes():
    [line] = re.findall(r"python tune_unlearning.py (.*?)\"", load(KUBERAY[1])["spec"]["entrypoint"])
    config, _ = load_config(line.split())
    assert (config.address, config.storage_path) == ("auto", "/home/ray/shared")


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "clusters").glob("*.sh")))
def test_scripts_are_whole(script):
    subprocess.run(["bash", "-n", str(ROOT / "clusters" / script)], check=True)
