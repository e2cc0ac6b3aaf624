"""Cluster files are valid by Ray's own checks, pinned as the requirements are, and closed."""

import copy
import gzip
import json
import re
import subprocess
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.command_runner import DockerCommandRunner
from ray.autoscaler._private.util import prepare_config, validate_config

from tuning.config import load_config

ROOT = Path(__file__).resolve().parents[2]
LAUNCHED = ("cluster.yaml", "clusters/gcp.yaml", "clusters/on_premise.yaml")
KUBERAY = ("clusters/kuberay_cluster.yaml", "clusters/kuberay_job.yaml")
SCHEMAS = json.loads(gzip.decompress((Path(__file__).parent / "kuberay" / "schemas.json.gz").read_bytes()))
#: Fields of a cluster that KubeRay 1.7 refuses unless its administrator has switched an alpha feature on.
GATED = {"networkPolicy", "tlsOptions", "historyServerOptions"}
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


@pytest.mark.parametrize("name", ["cluster.yaml", "clusters/gcp.yaml"])
def test_containers_of_workers_get_the_gpu_and_no_machine_starts_one_before_its_driver(name):
    """The image asks for no GPU, so that Ray's `--runtime=nvidia` alone would give it none."""
    config = load(name)
    docker = config["docker"]
    runner = DockerCommandRunner.__new__(DockerCommandRunner)
    runner.docker_config, runner.docker_cmd = docker, "docker"
    runner.ssh_command_runner = Host()
    assert runner._configure_runtime(docker["worker_run_options"]) == ["--gpus all", "--runtime=nvidia"]
    assert "--gpus all" not in docker["head_run_options"]
    for node_type, described in config["available_node_types"].items():
        waits = any("nvidia-smi" in command for command in described.get("initialization_commands", []))
        assert waits == (node_type != config["head_node_type"])


def test_workers_on_gcp_may_use_buckets_and_nothing_else():
    """Ray's gcp/config.py makes this account, with the role storage.objectAdmin, and gives it to the head alone."""
    config = load("clusters/gcp.yaml")
    [account] = config["available_node_types"]["gpu"]["node_config"]["serviceAccounts"]
    assert account["email"] == f"ray-autoscaler-sa-v1@{config['provider']['project_id']}.iam.gserviceaccount.com"
    assert account["scopes"] == ["https://www.googleapis.com/auth/devstorage.read_write"]


class Host:
    """A machine with NVIDIA's runtime, as Ray asks it."""

    def run(self, command, with_output=False):
        return b"map[nvidia:{nvidia-container-runtime []} runc:{runc []}]"


def kubernetes(name):
    """The file's network policy, and its resource of KubeRay."""
    policy, resource = yaml.safe_load_all((ROOT / name).read_text())
    return policy, resource


def cluster_of(resource):
    return resource["spec"].get("rayClusterSpec", resource["spec"])


def closed(schema):
    """A schema that refuses fields which it does not name, as the API server does for `kubectl`."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: closed(part) for key, part in schema.items() if key != "properties"}
    if "properties" in schema:
        strict["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        strict.setdefault("additionalProperties", False)
    return strict


@cache
def checker(kind):
    """Made once, and not itself checked: the schema is large."""
    return jsonschema.Draft202012Validator(closed(SCHEMAS[kind]))


def check(resource):
    checker(resource["kind"]).validate(resource)


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_takes_the_file(name):
    _, resource = kubernetes(name)
    assert resource["apiVersion"] == "ray.io/v1"
    check(resource)
    assert not GATED & set(cluster_of(resource))


@pytest.mark.parametrize("name", KUBERAY)
@pytest.mark.parametrize("change", [{"idleTimeoutSecond": 5}, {"version": "v3"}, {"idleTimeoutSeconds": "600"}])
def test_a_wrong_kuberay_file_is_refused(name, change):
    _, resource = kubernetes(name)
    cluster_of(resource)["autoscalerOptions"].update(change)
    with pytest.raises(jsonschema.ValidationError):
        check(resource)


def test_a_misspelt_field_of_a_pod_is_refused():
    _, resource = kubernetes(KUBERAY[0])
    cluster_of(resource)["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(jsonschema.ValidationError, match="'resource' was unexpected"):
        check(resource)


@pytest.mark.parametrize("name", KUBERAY)
def test_a_plain_network_policy_closes_every_pod_to_all_but_its_cluster_and_kuberay(name):
    """Kubernetes' own resource: its rules are described in KubeRay's schema too, whose clusters may hold such."""
    policy, resource = kubernetes(name)
    assert (policy["apiVersion"], policy["kind"]) == ("networking.k8s.io/v1", "NetworkPolicy")
    spec = policy["spec"]
    assert set(spec) == {"podSelector", "policyTypes", "ingress"}
    assert spec["policyTypes"] == ["Ingress"]
    rules = SCHEMAS["RayCluster"]["properties"]["spec"]["properties"]["networkPolicy"]["properties"]["head"]
    jsonschema.validate(spec["ingress"], closed(rules["properties"]["ingressRules"]))
    cluster = cluster_of(resource)
    labels = spec["podSelector"]["matchLabels"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert group["template"]["metadata"]["labels"] == labels
    inside, outside = spec["ingress"]
    assert inside == {"from": [{"podSelector": {"matchLabels": labels}}]}
    assert outside["ports"] == [{"port": 8265, "protocol": "TCP"}]
    assert all(peer["podSelector"]["matchLabels"] for peer in outside["from"])


def test_the_pod_that_hands_a_job_in_is_let_through_by_the_jobs_name():
    policy, job = kubernetes(KUBERAY[1])
    _, outside = policy["spec"]["ingress"]
    labels = {"ray.io/originated-from-crd": "RayJob", "ray.io/originated-from-cr-name": job["metadata"]["name"]}
    assert {"podSelector": {"matchLabels": labels}} in outside["from"]
    assert policy["metadata"]["name"] == job["metadata"]["name"]


def test_both_kuberay_files_have_one_cluster_with_token():
    alone, inside = (copy.deepcopy(cluster_of(kubernetes(name)[1])) for name in KUBERAY)
    assert alone["rayVersion"] == RAY
    assert alone["authOptions"] == {"mode": "token"}
    mlflow = alone["headGroupSpec"]["template"]["spec"]["containers"].pop()
    assert mlflow["args"][:2] == ["--host", "127.0.0.1"]
    for cluster in (alone, inside):
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            del group["template"]["metadata"]
    assert alone == inside
    assert f":{RAY}-" in (ROOT / "clusters/Dockerfile").read_text()


def test_the_kuberay_job_launches_a_study_that_the_launch_command_takes_and_the_cluster_has_room_for():
    _, job = kubernetes(KUBERAY[1])
    [line] = re.findall(r"python tune_unlearning.py (.*?)\"", job["spec"]["entrypoint"])
    config, _ = load_config(line.split())
    assert (config.address, config.storage_path) == ("auto", "/home/ray/shared")
    assert config.max_concurrent_trials == sum(group["maxReplicas"] for group in cluster_of(job)["workerGroupSpecs"])


def test_jobs_that_are_stopped_have_as_long_on_every_kind_of_cluster():
    profile, image = ((ROOT / "clusters" / name).read_text() for name in ("node_profile.sh", "Dockerfile"))
    [seconds] = re.findall(r"^export RAY_JOB_STOP_WAIT_TIME_S=(\d+)$", profile, re.MULTILINE)
    assert re.search(rf"^ENV .*\bRAY_JOB_STOP_WAIT_TIME_S={seconds}\b", image, re.MULTILINE)
    assert int(seconds) >= 600


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "clusters").glob("*.sh")))
def test_scripts_are_whole(script):
    subprocess.run(["bash", "-n", str(ROOT / "clusters" / script)], check=True)
