"""What a user sees: a view on a real pseudo-terminal of 80 columns, with colours and without."""

from __future__ import annotations

import os
import pty
import re
import threading
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from tuning.fetching import fetching
from tuning.terminal import StudyView

NAME = "忘却 of a face"
MEMBER = {
    "trial_id": "00017", "method": "siss_no_is", "step": 100, "sscd": 0.834, "sscd_stderr": 0.015, "nll": 5.082,
    "nll_stderr": 0.008, "fid": 5.61, "fid_stderr": 0.55,
}  # fmt: skip
LOOK_SECONDS = 0.6  # a terminal is drawn twice a second


def play(console: Console) -> None:
    """A study in a few seconds."""
    with fetching(console) as told:
        for done in (1, 2, 3):
            told(NAME, done, 3)
    with StudyView(console, NAME) as view:
        view.stage("start Ray")
        time.sleep(LOOK_SECONDS)
        view.stage("measure baseline", 4)
        view.reach(0, 0.2)
        time.sleep(LOOK_SECONDS)
        view.reach(4, 1.0)
        view.stage("trials", 18, expected=700.0)
        view.trials(2, 0, 0, 18, under_way=0.0)
        time.sleep(LOOK_SECONDS)
        view.trials(2, 3, 1, 18, under_way=0.5)
        view.front([MEMBER], 0.115)
        view.message("trial 00003 failed: diverged")


def written_to_a_terminal(**environment: str) -> str:
    """Everything that `play` writes to a pseudo-terminal."""
    driver, terminal = pty.openpty()
    written: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(driver, 65536):
                written.append(piece)
        except OSError:  # how Linux says that nobody has the terminal open any more
            return

    reader = threading.Thread(target=read)
    reader.start()
    known = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment}
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        play(Console(file=stream, highlight=False, _environ=known))
    reader.join()
    os.close(driver)
    return b"".join(written).decode()


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n").splitlines()


@pytest.fixture(scope="module")
def coloured() -> str:
    return written_to_a_terminal()


def test_a_terminal_gets_a_bar_and_the_time_that_is_left(coloured: str) -> None:
    lines = plain(coloured)
    text = "\n".join(lines)
    assert f"{NAME} · fetch records 3/3" in text
    assert f"{NAME} · start Ray · " in text
    assert f"{NAME} · measure baseline 0/4 · " in text
    assert f"{NAME} · trials 4/18 · " in text
    bars = [line for line in lines if line.startswith("━")]
    assert any(" 20%" in line for line in bars)
    assert any(line.rstrip().endswith(" 0%, about 12 min 00 s left") for line in bars)
    assert "4 of 18 trials, 2 running, 1 failed" in text
    assert "front so far: 1 member, hypervolume 0.115" in text
    assert "0.834 ± 0.015" in text
    assert "trial 00003 failed: diverged" in text


def test_the_cursor_is_given_back_and_no_line_breaks_at_80_columns(coloured: str) -> None:
    assert coloured.count("\x1b[?25l") == coloured.count("\x1b[?25h") == 2
    assert max(map(cell_len, plain(coloured))) <= 80


def test_colours_are_for_those_who_want_them(coloured: str) -> None:
    colour = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|38;[0-9;]*)m")
    assert colour.search(coloured)
    without = written_to_a_terminal(NO_COLOR="1")
    assert not colour.search(without)
    assert "trials 4/18" in without
