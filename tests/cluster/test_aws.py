"""cluster.yaml through Ray's own AWS provider, against a simulated AWS: what is made, what is open, what is ended."""

import json
import re
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

from scripts import aws_prepare

ROOT = Path(__file__).resolve().parents[2]
#: As AWS would say; its simulation knows no images of this kind, and lets nobody add one.
IMAGE = "ami-0123456789abcdef0"


class Images:
    """AWS's parameters."""

    def get_parameter(self, Name):  # noqa: N803  (the name is AWS's)
        assert Name == aws_prepare.IMAGE
        return {"Parameter": {"Value": IMAGE}}


def prepare(bucket="bucket", *flags):
    """`scripts/aws_prepare.py`, as it is run once for an account."""
    client = boto3.client
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_prepare, "PROPAGATION_SECONDS", 0.0)
        patch.setattr(aws_prepare.boto3, "client", lambda kind, *a: Images() if kind == "ssm" else client(kind, *a))
        return aws_prepare.main([bucket, *flags])


def as_changed():
    """cluster.yaml after what it marks with CHANGE and cannot be left as it is."""
    text = (ROOT / "cluster.yaml").read_text()
    assert text.count("ami-CHANGE") == 1
    return yaml.safe_load(text.replace("ami-CHANGE", IMAGE))


@pytest.fixture
def account(monkeypatch):
    """A simulated AWS with nothing in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "simulated")
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        yield boto3.client("sts", "us-west-2").get_caller_identity()["Account"]


@pytest.fixture
def config(account, monkeypatch, tmp_path):
    """cluster.yaml as `ray up` resolves it: key, subnets and security group are made."""
    monkeypatch.setenv("HOME", str(tmp_path))  # where the new key goes
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setattr("ray.autoscaler._private.aws.config.time.sleep", lambda seconds: None)
    for cache in (client_cache, resource_cache):
        cache.cache_clear()
    assert prepare() == 0
    config = prepare_config(as_changed())
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
    profiles = [described(ec2, node)["IamInstanceProfile"]["Arn"].rpartition("/")[2] for node in (head, worker)]
    assert profiles == ["unlearning-head", "unlearning-worker"]
    assert {described(ec2, node)["ImageId"] for node in (head, worker)} == {IMAGE}


def allowed(role):
    """Actions that a role's own policy allows, with what they may be done to."""
    document = boto3.client("iam").get_role_policy(RoleName=role, PolicyName="unlearning")["PolicyDocument"]
    pairs = ((statement["Action"], statement["Resource"]) for statement in document["Statement"])
    return {action: to for actions, to in pairs for action in ([actions] if isinstance(actions, str) else actions)}


def store(bucket):
    """What a machine may do with a bucket."""
    arn = f"arn:aws:s3:::{bucket}"
    objects = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
    return {"s3:ListBucket": arn, "s3:GetBucketLocation": arn, **dict.fromkeys(objects, f"{arn}/*")}


def test_the_head_may_start_machines_with_the_workers_role_and_workers_may_use_the_bucket_alone(account, capsys):
    assert prepare() == 0
    assert f"for ImageId in cluster.yaml: {IMAGE}\n" in capsys.readouterr().out
    iam = boto3.client("iam")
    attached = [iam.list_attached_role_policies(RoleName=f"unlearning-{kind}") for kind in ("head", "worker")]
    names = [[policy["PolicyName"] for policy in policies["AttachedPolicies"]] for policies in attached]
    assert names == [["AmazonEC2FullAccess"], []]
    worker = iam.get_role(RoleName="unlearning-worker")["Role"]["Arn"]
    assert allowed("unlearning-worker") == store("bucket")
    assert allowed("unlearning-head") == {**store("bucket"), "iam:PassRole": worker}
    assert prepare("other") == 0  # again: roles stay, another bucket takes the place of the first
    assert allowed("unlearning-worker") == store("other")


def test_policies_can_be_read_before_anything_is_made_and_are_those_of_the_documentation(account, capsys):
    assert prepare("bucket", "--dry-run") == 0
    policies = json.loads(capsys.readouterr().out)
    assert boto3.client("iam").list_roles()["Roles"] == []
    [example] = re.findall(r"```json\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
    example = example.replace("BUCKET", "bucket").replace("ACCOUNT", account)
    assert json.loads(example) == policies["unlearning-head"]


def test_a_prefix_is_no_bucket(capsys):
    with pytest.raises(SystemExit, match="2"):
        aws_prepare.main(["s3://bucket/runs"])
    assert "BUCKET must be a name" in capsys.readouterr().err


def test_without_rights_it_says_what_aws_says(monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert prepare() == 1
    assert "AWS must do what is asked" in capsys.readouterr().out


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
