"""What workers find out about the images is said where the user looks."""

import pytest
from rich.console import Console

from trainable.workloads.workload import Prepared
from tuning.config import StudyConfig, load_config
from tuning.files import StudyFiles
from tuning.terminal import StudyView
from tuning.workers import Workers


@pytest.fixture
def config(workspace) -> StudyConfig:
    return load_config(["--study", "study.yaml"])[0]


@pytest.mark.parametrize("notes", [(), ("2 copies of forget images were left out of the retain images; 9 are kept",)])
def test_notes_of_a_workload_are_printed(config, monkeypatch, capsys, notes):
    monkeypatch.setattr(Workers, "_run", lambda *arguments: [((Prepared(None, None, None, notes),) * 2, {})])
    view = StudyView(Console(width=200), "tshirt", metrics=("sscd",))
    assert Workers(config, StudyFiles(config.root), view).plan.prepared[0].notes == notes
    assert "".join(f"{note}\n" for note in notes) == capsys.readouterr().out
