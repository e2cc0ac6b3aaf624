"""What the command that fetches assets is told: arguments, and keys from the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import fetch_assets
from scripts.fetch_lib.answer import Login
from scripts.fetch_lib.fetch import Fetcher
from scripts.fetch_lib.manifest import Account

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = Account("KAGGLE_USERNAME", "KAGGLE_KEY", "https://www.kaggle.com/settings")


def said(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["sscd", "clipp"], "an asset must have one of the known names, but got clipp: did you mean 'clip'?"),
        (["sscd", "--mirror", "ftp://x"], "a mirror must be an http or https address"),
        (["sscd", "--mirror", "https://"], "a mirror must be an http or https address"),
        (["sscd", "--mirror", "https://me:secret@x"], "a mirror must be an http or https address"),
        (["sscd", "--mirror", "https://me@x"], "a mirror must be an http or https address"),
        (["sscd", "--mirror", "https://x:port"], "a mirror must be an http or https address"),
        (["sscd", "--mirror", "https://[x"], "a mirror must be an http or https address"),
        (["sscd", "--mirror", "https://x?a=b"], "a mirror must be an http or https address"),
        (["sscd", "--target", "{file}/below"], "the target must be a directory"),
        (["sscd", "--force"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_told_before_anything_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "file").touch()
    target = [] if "--target" in arguments else ["--target", str(tmp_path / "target")]
    with pytest.raises(SystemExit) as raised:
        fetch_assets.main([argument.format(file=tmp_path / "file") for argument in arguments] + target)
    assert raised.value.code == 2
    error = said(capsys.readouterr().err)
    assert message in error
    assert "secret" not in error
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_all_wrong_arguments_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fetch_assets.main(["one", "two", "--mirror", "x", "--target", str(tmp_path)])
    assert capsys.readouterr().err.count(", but got ") == 3


def test_the_script_runs_and_ends_with_its_status(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "fetch_assets.py"), "nothing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "an asset must have one of the known names, but got nothing" in done.stderr


def test_names_and_keys_are_those_of_the_environment(tmp_path: Path) -> None:
    fetcher = Fetcher(tmp_path, None, environment={"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "secret"})  # type: ignore[arg-type]
    assert fetcher._login(ACCOUNT).name_and_key == ("me", "secret")
    assert fetcher._login(None) == Login()
    for partial in ({}, {"KAGGLE_USERNAME": "me"}, {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": ""}):
        login = Fetcher(tmp_path, None, environment=partial)._login(ACCOUNT)  # type: ignore[arg-type]
        assert login.name_and_key is None
        assert "set KAGGLE_USERNAME and KAGGLE_KEY; a key is made at https://www.kaggle.com/settings" in login.remedy
