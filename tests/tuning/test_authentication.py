"""Ray on this machine lets in only who has the study's token."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tuning.authentication import guard_local_ray
from tuning.paths import PROJECT_ROOT

START = """
from tuning.authentication import guard_local_ray
guard_local_ray("local")
import ray
from tuning.workers import start_ray
start_ray("local")
assert ray.get(ray.remote(lambda: 1).remote()) == 1
print(ray.get_runtime_context().gcs_address, flush=True)
input()
"""
JOIN = "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR', log_to_driver=False); print('in')"


def environment(**changes: str) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    return {**found, "PYTHONPATH": str(PROJECT_ROOT), **changes}


@pytest.mark.slow
def test_nobody_without_the_token_joins() -> None:
    words = [sys.executable, "-c", START]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()) as driver:
        assert driver.stdout is not None
        address = driver.stdout.readline().strip()
        assert ":" in address
        for changes in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
            join = subprocess.run(
                [sys.executable, "-c", JOIN, address], capture_output=True, text=True, env=environment(**changes)
            )
            assert join.returncode != 0, join.stdout
            assert "in" not in join.stdout.split()
        driver.communicate("\n")
    assert driver.returncode == 0


@pytest.mark.parametrize(
    ("address", "before", "token"),
    [("local", {}, True), ("auto", {}, False), ("local", {"RAY_AUTH_MODE": "disabled"}, False)],
)
def test_only_a_ray_of_ones_own_gets_a_token_and_what_the_user_says_counts(
    address: str, before: dict[str, str], token: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(before))
    guard_local_ray(address)
    assert ("RAY_AUTH_TOKEN" in os.environ) is token
    assert os.environ.get("RAY_AUTH_MODE") == ("token" if token else before.get("RAY_AUTH_MODE"))
