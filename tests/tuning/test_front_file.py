"""The front of a study that goes on: nobody takes it for that of all that was searched, and it is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuning.files import StudyFiles
from tuning.front_file import set_aside, write_front


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path)


def test_it_is_kept_until_there_is_a_new_one(files: StudyFiles) -> None:
    write_front(files, ["step"], [{"step": 10}])
    set_aside(files)
    assert not files.front.exists()
    assert files.front_before.read_text() == "step\n10\n"
    set_aside(files)  # the launch was killed, and the next one begins
    assert files.front_before.read_text() == "step\n10\n"
    write_front(files, ["step"], [{"step": 20}])
    assert files.front.read_text() == "step\n20\n"
    assert not files.front_before.exists()


def test_a_study_that_begins_has_none(files: StudyFiles) -> None:
    set_aside(files)
    assert not list(files.root.iterdir())


def test_what_cannot_be_written_leaves_the_earlier_one(files: StudyFiles) -> None:
    write_front(files, ["step"], [{"step": 10}])
    set_aside(files)
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        write_front(files, ["step"], [{"sscd": 1}])
    assert files.front_before.is_file()
    assert not files.front.exists()
