"""What fetching says: bars on a terminal, a line a minute elsewhere, nothing when quiet."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from scripts.fetch_lib.display import Display

MEGA = 10**6


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fetch(console: Console, clock: Clock, start: int = 0) -> None:
    display = Display(console, clock)
    display.line("fetching https://host/file")
    with display.meter("fetching file") as meter:
        meter.expect(4000 * MEGA)
        meter.reach(start)
        for done in range(start + 10 * MEGA, start + 1810 * MEGA, 10 * MEGA):
            clock.now += 1.0
            meter.reach(done)


def test_a_log_gets_a_line_a_minute() -> None:
    out = io.StringIO()
    fetch(Console(file=out, highlight=False, width=80), Clock())
    assert out.getvalue().splitlines() == [
        "fetching https://host/file",
        "fetching file: 600.0 MB of 4.0 GB, about 6 min left",
        "fetching file: 1.2 GB of 4.0 GB, about 5 min left",
        "fetching file: 1.8 GB of 4.0 GB, about 4 min left",
    ]


def test_what_had_arrived_before_is_no_speed() -> None:
    out = io.StringIO()
    fetch(Console(file=out, highlight=False, width=80), Clock(), start=1500 * MEGA)
    assert out.getvalue().splitlines()[1:] == [
        "fetching file: 2.1 GB of 4.0 GB, about 3 min left",
        "fetching file: 2.7 GB of 4.0 GB, about 2 min left",
        "fetching file: 3.3 GB of 4.0 GB, about 1 min left",
    ]


def test_a_terminal_gets_a_bar_that_goes() -> None:
    out = io.StringIO()
    fetch(Console(file=out, force_terminal=True, width=100, color_system=None), Clock())
    assert "━" in out.getvalue()
    assert "min left" not in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_writes_nothing(terminal: bool) -> None:
    out = io.StringIO()
    fetch(Console(file=out, force_terminal=terminal, quiet=True), Clock())
    assert out.getvalue() == ""
