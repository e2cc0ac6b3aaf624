"""The replay as a command: what it writes, and what it refuses before anything runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from search_records import made_up_record

from benchmarks.search import main
from benchmarks.search_lib.configurations import configurations
from benchmarks.search_lib.recorded import Record


@pytest.fixture(scope="module")
def record() -> Record:
    return made_up_record(50)


def test_the_command_writes_tables_and_a_picture(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.save(tmp_path / "record.json.gz")
    command = ["replay", "--record", str(tmp_path / "record.json.gz"), "--seeds", "1", "--only", "random"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    found = pd.read_csv(tmp_path / "out" / "needs.csv")
    assert list(found["search"].unique()) == ["random"]
    assert set(pd.read_csv(tmp_path / "out" / "curves.csv")["search"]) == {"random"}
    assert (tmp_path / "out" / "curves.png").stat().st_size > 10_000
    assert "| random | 90% |" in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    assert "Rank correlation" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"no gzip", b""])
def test_what_is_no_record_is_refused(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json.gz"
    if content is not None:
        path.write_bytes(content)
    wrong = ["--only", "gird", "--seeds", "0", "--constraint", "nll <= 3"]
    assert main(["replay", "--record", str(path), *wrong, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().out
    assert "4 problems" in said
    assert "'grid'" in said
    assert "at least 1" in said
    assert "upper one of fid" in said
    assert str(path) in said
    assert not (tmp_path / "out").exists()


def test_a_bound_under_which_there_is_nothing_to_find_is_refused(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.save(tmp_path / "record.json.gz")
    command = ["replay", "--record", str(tmp_path / "record.json.gz"), "--constraint", "fid <= 0.1x"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "loosen the bound" in capsys.readouterr().out


def test_a_record_of_too_few_trials_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up_record(len({entry.method for entry in configurations()}) * 2).save(tmp_path / "record.json.gz")
    assert main(["replay", "--record", str(tmp_path / "record.json.gz"), "--out", str(tmp_path / "out")]) == 2
    assert "at least 3 trials of 'siss'" in capsys.readouterr().out
