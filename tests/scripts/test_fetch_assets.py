"""The command that fetches assets: what is on the disk after it, what it says, and how it ends."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetch_assets_server import File, Server, serving
from filelock import FileLock
from rich.console import Console

from scripts import fetch_assets
from scripts.fetch_lib.display import Display
from scripts.fetch_lib.download import Client
from scripts.fetch_lib.fetch import Fetcher
from scripts.fetch_lib.manifest import Account, Asset, RemoteArchive, RemoteFile

ROOT = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ACCOUNT = Account("KAGGLE_USERNAME", "KAGGLE_KEY", "https://www.kaggle.com/settings")


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


ARCHIVE = zipped(**{"data/one.txt": b"1", "data/two.txt": b"22"})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that stands in for every publisher, and small assets of each kind but the hub's."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(variable, raising=False)
    data = RemoteArchive("https://b.example/api/data", "data", ACCOUNT, max_bytes=100_000)
    assets: dict[str, tuple[Asset, ...]] = {
        "known": (RemoteFile("https://a.example/weights/w.pt", "known/w.pt", len(CONTENT), SHA256),),
        "unknown": (RemoteFile("https://a.example/u.pt?v=1", "unknown/u.pt"),),
        "data": (data,),
        "more": (RemoteFile("https://a.example/u.pt?v=1", "unknown/u.pt"), data),
    }
    monkeypatch.setattr(fetch_assets, "ASSETS", assets)
    with serving() as server:
        server.files["/weights/w.pt"] = File(CONTENT)
        server.files["/u.pt"] = File(CONTENT)
        server.files["/api/data"] = File(ARCHIVE)
        yield server


def fetch(server: Server, target: Path, *names: str) -> int:
    return fetch_assets.main(
        [*names, "--target", str(target), "--mirror", server.url], Client(attempts=2, pause_seconds=0.0)
    )


def names(folder: Path) -> set[str]:
    """All files below a folder but the lock of the command itself."""
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != ".fetching"
    }


def said(text: str) -> str:
    return " ".join(text.split())


def test_a_second_run_checks_and_fetches_nothing(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, tmp_path, "known", "unknown", "data") == 0
    before = names(tmp_path)
    assert before == {
        "known/w.pt",
        "unknown/u.pt",
        "unknown/u.pt.lock.json",
        "data/data/one.txt",
        "data/data/two.txt",
        "data.lock.json",
    }
    assert (tmp_path / "known/w.pt").read_bytes() == CONTENT
    assert (tmp_path / "data/data/two.txt").read_bytes() == b"22"
    server.requests.clear()
    capsys.readouterr()
    assert fetch(server, tmp_path, "known", "unknown", "data") == 0
    assert capsys.readouterr().out.count("nothing to do") == 3
    assert server.requests == []
    assert names(tmp_path) == before


def test_an_asset_of_two_names_is_fetched_once(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, "data", "more", "unknown") == 0
    assert sorted(request.path for request in server.requests) == ["/api/data", "/u.pt?v=1"]


def test_a_failure_does_not_keep_the_others_back(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.files["/weights/w.pt"]
    assert fetch(server, tmp_path, "known", "unknown") == 1
    assert names(tmp_path) == {"unknown/u.pt", "unknown/u.pt.lock.json"}
    error = said(capsys.readouterr().err)
    assert "known/w.pt: the file must be there, but got status 404" in error
    assert "it was moved or removed" in error


def test_a_cut_download_is_kept_and_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.files["/weights/w.pt"] = File(CONTENT, cuts=[4000, 0])
    assert fetch(server, tmp_path, "known") == 1
    assert names(tmp_path) == {"known/w.pt.part", "known/w.pt.part.mark"}
    assert fetch(server, tmp_path, "known") == 0
    assert server.ranges() == [None, "bytes=4000-", "bytes=4000-"]
    assert names(tmp_path) == {"known/w.pt"}


def test_a_damaged_file_is_told_and_left_alone(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, tmp_path, "known") == 0
    (tmp_path / "known/w.pt").write_bytes(CONTENT[:-1])
    assert fetch(server, tmp_path, "known") == 1
    assert "must be the published one" in (error := said(capsys.readouterr().err))
    assert "delete the file and run the command again" in error
    assert (tmp_path / "known/w.pt").read_bytes() == CONTENT[:-1]


def test_the_first_download_is_trusted_and_later_ones_must_be_equal(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, tmp_path, "unknown") == 0
    assert "trust on first use" in capsys.readouterr().out
    record = json.loads((tmp_path / "unknown/u.pt.lock.json").read_text())
    assert record["files"] == {"u.pt": {"size": len(CONTENT), "sha256": SHA256}}
    assert record["source"] == "https://a.example/u.pt?v=1", "the publisher's address, also where a mirror was asked"

    (tmp_path / "unknown/u.pt").unlink()
    server.files["/u.pt"] = File(CONTENT[::-1])
    assert fetch(server, tmp_path, "unknown") == 1
    assert "must be that of the first download, kept in" in said(capsys.readouterr().err)
    assert names(tmp_path) == {"unknown/u.pt.lock.json"}
    server.files["/u.pt"] = File(CONTENT)
    assert fetch(server, tmp_path, "unknown") == 0
    (tmp_path / "unknown/u.pt").write_bytes(CONTENT[::-1])
    assert fetch(server, tmp_path, "unknown") == 1


def test_a_record_that_cannot_be_read_is_told(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unknown").mkdir()
    for text in ("{", "[]", '{"archive": null, "files": {"u.pt": 1}, "source": "", "basis": ""}'):
        (tmp_path / "unknown/u.pt.lock.json").write_text(text)
        assert fetch(server, tmp_path, "unknown") == 1
        assert "a record of a download must be readable" in said(capsys.readouterr().err)
    assert server.requests == []


@pytest.mark.parametrize("damage", ["content", "missing", "link"])
def test_a_damaged_folder_is_told(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    assert fetch(server, tmp_path, "data") == 0
    path = tmp_path / "data/data/one.txt"
    path.unlink()
    if damage == "content":
        path.write_bytes(b"2")
    elif damage == "link":
        (tmp_path / "copy").write_bytes(b"1")
        path.symlink_to(tmp_path / "copy")
    assert fetch(server, tmp_path, "data") == 1
    assert "delete" in (error := said(capsys.readouterr().err))
    assert "one.txt" in error


def test_a_deleted_folder_comes_back_equal_or_not_at_all(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, tmp_path, "data") == 0
    before = names(tmp_path)
    (tmp_path / "data").rename(tmp_path / "old")
    server.files["/api/data"] = File(zipped(**{"data/one.txt": b"x"}))
    assert fetch(server, tmp_path, "data") == 1
    assert not (tmp_path / "data").exists()
    assert "must be that of the first download" in (error := said(capsys.readouterr().err))
    assert "if the change is meant, delete" in error
    server.files["/api/data"] = File(ARCHIVE)
    assert fetch(server, tmp_path, "data") == 0
    assert names(tmp_path) - {"old/data/one.txt", "old/data/two.txt"} == before


def test_a_folder_without_a_record_is_not_touched(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine").touch()
    assert fetch(server, tmp_path, "data") == 1
    assert "must have its record data.lock.json beside it" in said(capsys.readouterr().err)
    assert names(tmp_path) == {"data/mine"}
    assert server.requests == []


def test_an_archive_that_arrived_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    """As after a kill while it was unpacked, which leaves half a folder under another name."""
    tmp_path.joinpath("data.archive").write_bytes(ARCHIVE)
    tmp_path.joinpath(".data.part").mkdir()
    tmp_path.joinpath(".data.part", "half").touch()
    assert fetch(server, tmp_path, "data") == 0
    assert server.requests == []
    assert names(tmp_path) == {"data/data/one.txt", "data/data/two.txt", "data.lock.json"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(**{"../evil": b"x"}), "must stay in the folder"),
        (zipped(bomb=bytes(100_001)), "must have at most 100000 bytes"),
        (b"<html>please log in</html>", "must be a whole zip or tar file"),
    ],
)
def test_a_refused_archive_is_removed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    server.files["/api/data"] = File(content)
    assert fetch(server, tmp_path / "target", "data") == 1
    assert message in said(capsys.readouterr().err)
    assert names(tmp_path) == set()


def test_a_site_that_asks_for_a_key_is_named_with_the_remedy(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/api/data"] = File(ARCHIVE, login="Basic x")
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    assert fetch(server, tmp_path, "data") == 1
    assert "KAGGLE_USERNAME and KAGGLE_KEY are not sent to it" in said(capsys.readouterr().err)
    assert [request.headers.get("authorization") for request in server.requests] == [None]


def test_a_key_reaches_its_own_site(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    basic = "Basic " + base64.b64encode(b"me:secret").decode()
    server.files["/api/data"] = File(ARCHIVE, login=basic)
    asset = RemoteArchive(f"{server.url}/api/data", "data", ACCOUNT)
    out = io.StringIO()
    environment = {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "secret"}
    Fetcher(tmp_path, Display(Console(file=out)), environment=environment).fetch(asset)
    assert [request.headers.get("authorization") for request in server.requests] == [None, basic]
    assert "secret" not in out.getvalue() + "".join(path.read_text() for path in tmp_path.glob("*.json"))


def test_one_command_at_a_time(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(tmp_path / ".fetching"):
        assert fetch(server, tmp_path, "known") == 1
    assert "one command at a time" in said(capsys.readouterr().err)
    assert fetch(server, tmp_path, "known") == 0


def test_an_interruption_says_how_to_go_on(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Fetcher, "fetch", interrupt)
    assert fetch(server, tmp_path, "known") == 1
    assert "run the same command again to go on" in said(capsys.readouterr().err)


def test_a_full_disk_is_told(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert fetch(server, tmp_path, "known") == 1
    assert "No space left on device: check the disk" in said(capsys.readouterr().err)
    assert "known/w.pt" not in names(tmp_path)
