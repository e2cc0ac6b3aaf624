import math
from pathlib import Path

import numpy as np
import pytest

from tuning.files import StudyFiles, csv_cell, csv_text, write_csv_atomic, write_text_atomic


def test_paths_are_those_of_the_design(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "runs" / "mnist")
    root = tmp_path / "runs" / "mnist"
    assert files.name == "mnist"
    assert [files.study, files.baseline, files.reports, files.trials, files.front, files.report] == [
        root / name for name in ("study.yaml", "baseline.json", "reports.csv", "trials.csv", "front.csv", "report.html")
    ]
    assert files.checkpoint("00042", 80) == root / "checkpoints" / "00042-80"
    assert files.candidate("00042", 80) == root / "candidates" / "00042-80"
    assert files.mlflow_database == tmp_path / "runs" / "mlflow.db"
    assert not files.root.exists(), "asking for paths must create nothing"


@pytest.mark.parametrize("trial_id", ["../x", "", "a/b", "..", "a b"])
def test_a_trial_id_cannot_leave_the_study(tmp_path: Path, trial_id: str) -> None:
    with pytest.raises(ValueError, match="a trial id must consist of"):
        StudyFiles(tmp_path).checkpoint(trial_id, 1)


def test_a_failed_write_keeps_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "front.csv"
    write_text_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_table_has_its_columns_in_order_and_refuses_others(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv_atomic(path, ["b", "a"], [{"a": 1, "b": "x,y"}, {"b": None}])
    assert path.read_bytes() == b'b,a\n"x,y",1\n,\n'
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        csv_text(["a"], [{"c": 1}], header=True)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "True"),
        (np.bool_(False), "False"),
        (np.int64(7), "7"),
        (0.1 + 0.2, "0.30000000000000004"),
        (np.float64(1e-300), "1e-300"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ("00042", "00042"),
    ],
)
def test_cells_read_back_exactly(value: object, cell: str) -> None:
    assert csv_cell(value) == cell
