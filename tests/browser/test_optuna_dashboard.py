"""A study's storage in optuna-dashboard: objectives by name and direction, and what each trial says of the bounds."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial
from playwright.sync_api import Page, expect
from searches import make_search, run_all

START_SECONDS = 120.0
PATIENCE_MS = 60_000


@dataclass(frozen=True)
class Dashboard:
    """A server of a storage, and the trials that are in it."""

    url: str
    trials: tuple[FrozenTrial, ...]

    @property
    def non_dominated(self) -> set[int]:
        """Numbers of the trials that none is better than in SSCD, the lower the better, and NLL, the higher."""
        values = {trial.number: trial.values for trial in self.trials}
        return {
            number
            for number, (sscd, nll) in values.items()
            if not any(s <= sscd and n >= nll and (s, n) != (sscd, nll) for s, n in values.values())
        }


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("optuna")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        search = make_search(folder)
        run_all(search)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), str(folder / "optuna.log")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/api/studies")
        yield Dashboard(url, tuple(search.study.get_trials()))
    finally:
        process.kill()
        process.wait()


def wait_for(url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError(f"optuna-dashboard must answer at {url}, but does not")


def test_a_study_and_its_trials_are_shown(dashboard: Dashboard, page: Page, screenshots: Path) -> None:
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.goto(f"{dashboard.url}/dashboard/studies/0")
    expect(page.get_by_text("Pareto Front").first).to_be_visible()
    for name in ("sscd", "nll"):
        expect(page.get_by_role("combobox").filter(has_text=name).first).to_be_visible()
    plot = "document.querySelector('#graph-pareto-front')"
    page.wait_for_function(f"{plot} && {plot}.data && {plot}.data.length")
    drawn = page.evaluate(f"{plot}.data.flatMap(trace => [...trace.x])")
    assert sorted(drawn) == pytest.approx(sorted(trial.values[0] for trial in dashboard.trials))
    best = page.get_by_role("heading", name=re.compile(r"^Trial \d+$"))
    expect(best).to_have_count(len(dashboard.non_dominated))
    assert {int(text.split()[1]) for text in best.all_inner_texts()} == dashboard.non_dominated
    page.screenshot(path=screenshots / "study.png")
    infeasible = next(trial for trial in dashboard.trials if not trial.user_attrs["feasible"])
    page.goto(f"{dashboard.url}/dashboard/studies/0/trials?numbers={infeasible.number}")
    expect(page.get_by_text(f"Trial {infeasible.number} (trial_id=")).to_be_visible()
    for name in ("constraint:fid", "violation", "feasible"):
        shown = re.compile(rf"{name}\s*{re.escape(str(infeasible.user_attrs[name]))}")
        expect(page.locator("body")).to_contain_text(shown)
    page.get_by_text("constraint:fid").first.scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "trial.png")
