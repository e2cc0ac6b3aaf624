"""What the soak keeps, goes on with and answers; its faults are tested for themselves."""

from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.soak_lib.scenarios import SCENARIOS


@pytest.fixture
def made(monkeypatch):
    """Faults that were done, in order; the second SIGTERM loses a report."""
    done: list[tuple[str, int]] = []

    def run_once(kind: str, number: int, folder: Path) -> soak.Run:
        done.append((kind, number))
        lost = int((kind, number) == ("SIGTERM", 1))
        return soak.Run(kind, number, lost, 0, 0, 10.0 + number, ["reports.csv: 00000"] * lost)

    monkeypatch.setattr(soak, "run_once", run_once)
    return done


def soaked(folder: Path, *flags: str) -> int:
    return soak.main(["--folder", str(folder), "--only", "SIGINT", "SIGTERM", *flags])


def test_it_goes_on_where_it_stopped_and_its_status_is_that_of_all(made, tmp_path, capsys):
    assert soaked(tmp_path, "--times", "1") == 0
    assert made == [("SIGINT", 0), ("SIGTERM", 0)]
    assert soaked(tmp_path, "--times", "2") == 1
    assert made[2:] == [("SIGINT", 1), ("SIGTERM", 1)], "what was done is not done again"
    assert soaked(tmp_path, "--times", "2") == 1
    assert len(made) == 4
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")][-2:]
    assert [[cell.strip() for cell in row[1:-1]] for row in rows] == [
        ["SIGINT", "2", "0", "0", "0", "10"],
        ["SIGTERM", "2", "1", "0", "0", "10"],
    ]


def test_nothing_starts_when_the_time_is_over(made, tmp_path, capsys):
    assert soaked(tmp_path, "--hours", "0") == 0
    assert not made
    assert "10 of 10 not done" in capsys.readouterr().out


def test_a_kind_must_be_one_of_the_table(tmp_path):
    with pytest.raises(SystemExit) as error:
        soak.main(["--folder", str(tmp_path), "--only", "earthquake"])
    assert error.value.code == 2
    assert len(SCENARIOS) >= 12
