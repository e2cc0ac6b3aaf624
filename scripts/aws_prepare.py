"""What cluster.yaml needs of an AWS account, made once: two roles for its machines, and the id of their image.

    python scripts/aws_prepare.py BUCKET              # in the region of cluster.yaml, with your own AWS credentials
    python scripts/aws_prepare.py BUCKET --dry-run    # only print the policies, for who may not make roles to pass on

Run again it brings the policies up to date. Exit status: 0 done; 1 AWS refuses; 2 the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

ROOT: Final = Path(__file__).resolve().parent.parent
HEAD: Final = "unlearning-head"
WORKER: Final = "unlearning-worker"
#: AWS's own image with Docker, NVIDIA's driver and container toolkit; the name is that of its newest id in a region.
IMAGE: Final = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
#: Until machines can be started with a new profile.
PROPAGATION_SECONDS: Final = 15.0
_TRUST: Final = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Roles and image of the machines of cluster.yaml on AWS.")
    parser.add_argument("bucket", help="name of the S3 bucket that studies are kept in")
    parser.add_argument("--cluster", type=Path, default=ROOT / "cluster.yaml", help="file that says the region")
    parser.add_argument("--dry-run", action="store_true", help="print the policies and make nothing")
    arguments, console = parser.parse_args(argv), Console(highlight=False, soft_wrap=True)
    if "/" in arguments.bucket:
        parser.error(f"BUCKET must be a name, but got {arguments.bucket}: leave s3:// and what follows the name out")
    region = yaml.safe_load(arguments.cluster.read_text(encoding="utf-8"))["provider"]["region"]
    try:
        identity = boto3.client("sts", region).get_caller_identity()
        partition, account = identity["Arn"].split(":")[1], identity["Account"]
        policies = policies_for(arguments.bucket, account, partition)
        if arguments.dry_run:
            console.print(json.dumps(policies, indent=2), markup=False)
            return 0
        _prepare(policies, partition, region, console)
    except (BotoCoreError, ClientError) as error:
        console.print(f"AWS must do what is asked with your credentials, but says: {error}", markup=False)
        return 1
    return 0


def policies_for(bucket: str, account: str, partition: str = "aws") -> dict[str, dict[str, Any]]:
    """What each role may do, beside the EC2 that Ray's autoscaler needs on the head (`AmazonEC2FullAccess`)."""
    arn = f"arn:{partition}:s3:::{bucket}"
    store = [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": arn},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": f"{arn}/*",
        },
    ]
    # Who starts a machine with a role must be allowed to hand that role out: EC2's full access does not include it.
    hand_out = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": f"arn:{partition}:iam::{account}:role/{WORKER}",
        "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }
    return {HEAD: _policy([*store, hand_out]), WORKER: _policy(store)}


def _prepare(policies: dict[str, dict[str, Any]], partition: str, region: str, console: Console) -> None:
    image = boto3.client("ssm", region).get_parameter(Name=IMAGE)["Parameter"]["Value"]
    iam = boto3.client("iam", region)
    is_new = [_make_role(iam, name, policy) for name, policy in policies.items()]
    iam.attach_role_policy(RoleName=HEAD, PolicyArn=f"arn:{partition}:iam::aws:policy/AmazonEC2FullAccess")
    console.print(f"roles and instance profiles: {HEAD}, {WORKER}", markup=False)
    console.print(f"the image's newest id in {region}, for ImageId in cluster.yaml: {image}", markup=False)
    if any(is_new):
        time.sleep(PROPAGATION_SECONDS)


def _make_role(iam: Any, name: str, policy: dict[str, Any]) -> bool:
    """A role and an instance profile of one name; returns whether the profile is new."""
    is_there = iam.exceptions.EntityAlreadyExistsException
    with suppress(is_there):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_policy([_TRUST])))
    iam.put_role_policy(RoleName=name, PolicyName="unlearning", PolicyDocument=json.dumps(policy))
    with suppress(is_there):
        iam.create_instance_profile(InstanceProfileName=name)
    if iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]:
        return False
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return True


def _policy(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


if __name__ == "__main__":
    sys.exit(main())
