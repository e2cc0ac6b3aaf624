"""docs/extending.md as it stands: its commands are run outside the repository, its listings are the example's files."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
LISTINGS = re.findall(r"^```python\n# (\S+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
METHOD, METRIC = "scans.relabel:Relabel", "scans.pixel_distance:PixelDistance"


@pytest.mark.parametrize(("path", "listing"), LISTINGS, ids=[path for path, _ in LISTINGS])
def test_a_listing_is_the_file_of_the_example(path: str, listing: str) -> None:
    assert listing == (ROOT / "examples" / "own_model" / path).read_text(encoding="utf-8")


def test_every_module_of_the_example_is_listed() -> None:
    modules = {path.name for path in (ROOT / "examples" / "own_model" / "scans").glob("[!_]*.py")}
    assert {Path(path).name for path, _ in LISTINGS} == modules


def environment(home: Path) -> dict[str, str]:
    """A user's: another home, ``python`` that of the environment, no path to this repository or any other."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "REPO")}
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "HOME": str(home), "PATH": path, "XDG_CACHE_HOME": cache, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """All commands of the page in order, in one shell; the example's directory and what was printed."""
    home = tmp_path_factory.mktemp("home")
    script = "\n".join(["set -euo pipefail", *COMMANDS])
    result = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment(home), capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return home / "scans", result.stdout


@pytest.mark.study
def test_reports_have_the_columns_of_the_users_own_parts(example: tuple[Path, str]) -> None:
    reports = pd.read_csv(example[0] / "runs" / "scans" / "reports.csv", dtype={"trial_id": str})
    assert set(reports["method"]) == {METHOD, "naive_deletion"}
    assert set(reports["forget_image"]) == {"house"}
    relabelled = reports[reports["method"] == METHOD]
    assert (relabelled["weight"] >= 0.1).all()
    assert reports[reports["method"] == "naive_deletion"]["weight"].isna().all()
    measured = reports[[METRIC, f"{METRIC}_stderr", "sscd", "nll", "fid"]]
    assert np.isfinite(measured.to_numpy()).all()
    assert (reports[METRIC] > 0).all()
    assert (reports[f"{METRIC}_num"] == 16).all()


@pytest.mark.study
def test_the_front_is_of_the_users_own_objective_and_its_pipelines_load(example: tuple[Path, str]) -> None:
    from diffusers import DDPMPipeline

    from analysis.load import load_study

    study = load_study(example[0] / "runs" / "scans")
    assert [str(objective) for objective in study.config.objectives] == ["minimize sscd", f"maximize {METRIC}"]
    untouched, retrained = (study.baseline.values(name)[METRIC] for name in ("untouched", "retrained"))
    assert untouched < retrained, "the model must know the house better than one that never saw it"
    assert len(study.front) > 0
    for _, member in study.front.iterrows():
        assert math.isfinite(member[METRIC])
        assert member[METRIC] != member[f"{METRIC}_search"]
        assert DDPMPipeline.from_pretrained(study.files.root / member["checkpoint"]).unet.config.sample_size == 8
    assert "pixel distance" in study.files.report.read_text(encoding="utf-8")


@pytest.mark.study
def test_contracts_were_held_against_the_users_own_metric_and_method(example: tuple[Path, str]) -> None:
    assert len(re.findall(r"\b\d+ passed", example[1])) == 2


@pytest.mark.study
def test_what_cannot_be_used_is_refused_with_status_2(example: tuple[Path, str]) -> None:
    flags = ["--methods", "scans.relabel:Relable", "--report-metrics", METHOD, "--workload", "scan.workload:None"]
    result = subprocess.run(
        [sys.executable, str(ROOT / "tune_unlearning.py"), "--study", "study.yaml", "--name", "again", *flags],
        cwd=example[0], env=environment(example[0].parent), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 2
    for part in ("did you mean 'Relabel'?", "give it by --methods", "PYTHONPATH"):
        assert part in result.stderr
    assert not (example[0] / "runs" / "again").exists()
