"""The studies of the embedded twins run through the launch command on few samples, and end in their files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from diffusers import DiffusionPipeline

from analysis.load import load_study
from tuning.record_tables import read_table

ROOT = Path(__file__).parents[1]
FEW = (
    *(
        "--num-trials",
        "2",
        "--methods",
        "siss_no_is",
        "naive_deletion",
        "--rungs",
        "10",
        "--max-concurrent-trials",
        "2",
    ),
    *("--num-likelihood-evaluations", "20", "--num-probes", "2", "--num-confirmed", "1"),
)
FEWER = {
    "photographs": ("--num-images", "32", "--final-num-images", "32", "--constraint", "fid <= 9x"),
    "mini_text_to_image": ("--num-images", "16", "--final-num-images", "32", "--constraint", "clip_iqa >= 0.1x"),
}


@pytest.mark.study
@pytest.mark.parametrize("name", FEWER)
def test_the_study_runs_to_its_front(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tune_unlearning.py"), "--study", str(ROOT / "studies" / f"{name}.yaml")]
    flags = ["--storage-path", str(tmp_path), *FEW, *FEWER[name]]
    ended = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    reports = read_table(tmp_path / name / "reports.csv")
    by_method = reports.set_index("method")["nll"]
    assert by_method["siss_no_is"] > by_method["naive_deletion"], "what unlearns makes the image less likely"
    study = load_study(tmp_path / name)
    assert len(study.front) >= 1
    assert isinstance(study.front, pd.DataFrame)
    DiffusionPipeline.from_pretrained(tmp_path / name / study.front["checkpoint"][0], use_safetensors=True)
