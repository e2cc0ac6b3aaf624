"""The whole path for real: `ray up` over loopback ssh, a study as a job on two nodes, its files fetched, torn down."""

import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from benchmarks.soak_lib.accounts import settle
from scripts.cluster_lib.local_cluster import LocalCluster
from scripts.cluster_lib.requirements import missing
from trainable.testing import write_tiny_study
from tuning.files import StudyFiles

NUM_TRIALS = 2
pytestmark = [pytest.mark.study, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A process that `ray stop` would take for a Ray node of somebody else's cluster."""
    program = tmp_path_factory.mktemp("foreign") / "raylet"
    shutil.copy(shutil.which("sleep"), program)
    process = subprocess.Popen([program, "3600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def cluster(foreign):
    with LocalCluster() as cluster:
        yield cluster


def client(cluster, program, **environment):
    """A Python program outside of the cluster, in the environment of its user with some variables changed."""
    changed = {name: value for name, value in {**cluster.environment, **environment}.items() if value is not None}
    words = [sys.executable, "-c", program, f"{cluster.head}:{cluster.ports.ray}"]
    return subprocess.run(words, env=changed, capture_output=True, text=True, timeout=180)


JOIN = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(sorted((node["NodeManagerAddress"], node["Resources"].get("CPU", 0)) for node in ray.nodes()))
"""


def test_a_study_runs_on_the_worker_with_token_and_its_files_are_fetched(cluster, tmp_path):
    study_file = write_tiny_study(tmp_path, num_trials=NUM_TRIALS, methods=["siss", "neggrad"], num_confirmed=1)
    log = cluster.run_study(["--study", str(study_file)], seconds=900)
    assert "succeeded" in log
    assert "report.html" in log
    cluster.fetch("tiny", tmp_path / "fetched" / "tiny")
    files = StudyFiles(tmp_path / "fetched" / "tiny")
    server = f"http://127.0.0.1:{cluster.ports.mlflow}"
    accounts = settle(files, NUM_TRIALS, [2, 4], mlflow_tracking_uri=server)
    assert accounts.are_settled, accounts
    assert list(files.checkpoints.glob("*/model_index.json"))


#: Ends like a study that is asked to: later than the 3 s after which Ray kills by itself. A job's log begins with its
#: command, so that what this one prints must not stand in it.
SLOW_TO_END = "trap 'sleep 5; echo ended $((6 * 7)); exit 1' TERM; echo started $((6 * 7)); while :; do sleep 0.2; done"


def test_a_job_that_is_stopped_has_the_time_to_finish_its_reports(cluster):
    with cluster.dashboard() as address:
        job = ("--address", address, "stopped")
        submit = ("--address", address, "--no-wait", "--submission-id", "stopped", "--", "bash", "-c", SLOW_TO_END)
        cluster.ray("job", "submit", *submit, seconds=60)
        end = time.monotonic() + 60
        while "started 42" not in cluster.ray("job", "logs", *job, seconds=60):
            assert time.monotonic() < end
        cluster.ray("job", "stop", *job, seconds=60)
        assert "ended 42" in cluster.ray("job", "logs", *job, seconds=60)


def test_who_has_the_token_may_join_and_who_has_not_is_refused(cluster, tmp_path):
    joined = client(cluster, JOIN)
    assert joined.returncode == 0, joined.stderr
    assert joined.stdout.strip() == "[('127.0.0.2', 0), ('127.0.0.3', 2.0)]"
    wrong = client(cluster, JOIN, RAY_AUTH_TOKEN="0" * 64, RAY_AUTH_TOKEN_PATH=None)
    assert wrong.returncode != 0
    assert "InvalidAuthToken" in wrong.stderr, wrong.stderr
    none = client(cluster, JOIN, RAY_AUTH_MODE="disabled")
    assert none.returncode != 0
    assert "Unauthenticated" in none.stderr, none.stderr


def test_a_node_without_the_token_is_refused(cluster):
    """Tried on the cluster's own machine, with which everything ends that it might leave behind."""
    start = f"ray start --address={cluster.head}:{cluster.ports.ray} --node-ip-address=127.0.0.4 --num-cpus=1"
    cluster.exec(f"RAY_AUTH_TOKEN={'0' * 64} {start} > ~/start.log 2>&1; echo status $? >> ~/start.log")
    printed = (cluster.home / "start.log").read_text()
    assert re.search(r"^status [1-9]", printed, re.MULTILINE), printed
    assert "InvalidAuthToken" in printed
    assert cluster.processes.count("raylet") == 2


def test_jobs_are_refused_without_the_token(cluster):
    with cluster.dashboard() as address, pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/jobs/", timeout=30)


def test_other_clusters_live_on_and_nothing_of_this_one_is_left(cluster, foreign):
    """Last, since it tears the cluster down; `ray up` and `ray down` have both called `ray stop` then."""
    assert "ray stop" in cluster.config.read_text()
    cluster.__exit__(None, None, None)
    assert cluster.processes == []
    assert not cluster.directory.exists()
    assert foreign.poll() is None
