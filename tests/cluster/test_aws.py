"""cluster.yaml through Ray's own AWS provider, against a simulated AWS: what is made, what is open, what is ended."""

from pathlib import Path

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.aws.utils import client_cache, resource_cache
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    NODE_KIND_WORKER,
    TAG_RAY_CLUSTER_NAME,
    TAG_RAY_NODE_KIND,
    TAG_RAY_USER_NODE_TYPE,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(monkeypatch, tmp_path):
    """cluster.yaml as `ray up` resolves it: roles, key, subnets and security group are made."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "simulated")
    monkeypatch.setenv("HOME", str(tmp_path))  # where the new key goes
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setattr("ray.autoscaler._private.aws.config.time.sleep", lambda seconds: None)
    for cache in (client_cache, resource_cache):
        cache.cache_clear()
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
        # Autodetection fills in what the instance types have, as `ray up` does.
        yield bootstrap_aws(AWSNodeProvider.fillout_available_node_types_resources(config))
    for cache in (client_cache, resource_cache):
        cache.cache_clear()


@pytest.fixture
def ec2(config):
    return boto3.client("ec2", config["provider"]["region"])


def start(config, node_type, kind):
    """A node of a type, as Ray's launcher starts it; its provider and its description by AWS."""
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    node_config = dict(config["available_node_types"][node_type]["node_config"])
    if kind == NODE_KIND_HEAD:
        node_config.update(config["head_node"])
    provider.create_node(node_config, {TAG_RAY_NODE_KIND: kind, TAG_RAY_USER_NODE_TYPE: node_type}, 1)
    [node] = provider.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: node_type})
    return provider, node


def described(ec2, node):
    [reservation] = ec2.describe_instances(InstanceIds=[node])["Reservations"]
    return reservation["Instances"][0]


@pytest.mark.parametrize("node_type", ["gpu_small", "gpu_large"])
def test_a_gpu_worker_is_a_spot_machine_with_its_tags_and_ends_when_it_is_terminated(config, ec2, node_type):
    provider, node = start(config, node_type, NODE_KIND_WORKER)
    machine = described(ec2, node)
    assert machine["InstanceLifecycle"] == "spot"
    assert machine["InstanceType"] == {"gpu_small": "g5.xlarge", "gpu_large": "g6e.xlarge"}[node_type]
    tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
    assert tags[TAG_RAY_CLUSTER_NAME] == "unlearning"
    assert tags[TAG_RAY_NODE_KIND] == NODE_KIND_WORKER
    assert tags[TAG_RAY_USER_NODE_TYPE] == node_type
    provider.terminate_node(node)
    assert described(ec2, node)["State"]["Name"] == "terminated"
    assert provider.non_terminated_nodes({}) == []


def test_the_head_is_no_spot_machine_and_alone_may_start_others(config, ec2):
    _, head = start(config, "head", NODE_KIND_HEAD)
    _, worker = start(config, "gpu_small", NODE_KIND_WORKER)
    assert "InstanceLifecycle" not in described(ec2, head)
    assert "ray-autoscaler" in described(ec2, head)["IamInstanceProfile"]["Arn"]
    assert "IamInstanceProfile" not in described(ec2, worker)


def test_types_say_what_they_have(config):
    types = config["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert "GPU" not in types["head"]["resources"]
    for name in ("gpu_small", "gpu_large"):
        assert types[name]["min_workers"] == 0
        assert types[name]["resources"].items() >= {"GPU": 1, "CPU": 4}.items()


def test_nothing_but_ssh_is_open_to_the_network(config, ec2):
    groups = {
        group for name in config["available_node_types"]
        for group in config["available_node_types"][name]["node_config"]["SecurityGroupIds"]
    }  # fmt: skip
    [group] = ec2.describe_security_groups(GroupIds=sorted(groups))["SecurityGroups"]
    assert group["GroupName"] == "unlearning"
    from_outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"] or rule["Ipv6Ranges"]]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in from_outside] == [("tcp", 22, 22)]
    inside = [pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    assert inside == [group["GroupId"]]
