"""One file over HTTP, from servers that cut, lie, refuse and change their mind."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fetch_assets_server import File, Server, serving
from rich.console import Console

from scripts.fetch_lib.answer import Login, _check_transport
from scripts.fetch_lib.display import Display
from scripts.fetch_lib.download import Client, Download
from scripts.fetch_lib.errors import FetchError
from scripts.fetch_lib.record import Digest, Known

CONTENT = bytes(range(256)) * 400  # 102,400 bytes, no two stretches of which can be taken for each other's sequel
KNOWN = Known(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
UNKNOWN = Known()


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def get(server: Server, folder: Path, *, known: Known = UNKNOWN, max_bytes: int | None = None, **client: Any) -> Digest:
    settings = {"attempts": 3, "pause_seconds": 0.0, "timeout_seconds": 5.0} | client
    download = Download(f"{server.url}/file", folder / "file", known, max_bytes)
    with Display(Console(file=io.StringIO())).meter("test") as meter:
        return download.run(Client(**settings), meter)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_whole_file_is_fetched_with_one_request(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT)
    assert get(server, tmp_path) == Digest(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert names(tmp_path) == {"file"}
    assert server.ranges() == [None]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_has_a_bar_and_a_log_has_none(server: Server, tmp_path: Path, terminal: bool) -> None:
    server.files["/file"] = File(CONTENT)
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=terminal, width=100)).meter("fetching file") as meter:
        Download(f"{server.url}/file", tmp_path / "file").run(Client(), meter)
    assert ("fetching file" in out.getvalue()) is terminal
    assert ("102.4/102.4 kB" in out.getvalue()) is terminal


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_transfer_goes_on_where_it_was(server: Server, tmp_path: Path, chunked: bool) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000, 20_000], chunked=chunked)
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=10000-", "bytes=30000-"]
    assert [request.headers.get("if-range") for request in server.requests] == [None, '"one"', '"one"']


def test_progress_never_runs_out_of_attempts(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000] * 9)
    get(server, tmp_path, attempts=2)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_another_run_goes_on_where_the_last_was_cut(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000])
    with pytest.raises(FetchError, match=r"must arrive whole, but got 10000 bytes of http.*goes on from there"):
        get(server, tmp_path, attempts=1)
    assert names(tmp_path) == {"file.part", "file.part.mark"}, "a cut file must not have the final name"
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges()[1:] == ["bytes=10000-"]
    assert names(tmp_path) == {"file"}


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000], ranges=False)
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=10000-"]


def test_two_versions_are_never_joined(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000])
    with pytest.raises(FetchError):
        get(server, tmp_path, attempts=1)
    server.files["/file"] = File(CONTENT[::-1], etag='"two"')
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


def test_without_a_mark_and_a_digest_a_download_begins_anew(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000], etag=None)
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges() == [None, None]


def test_without_a_mark_a_digest_is_enough_to_go_on(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000], etag=None)
    get(server, tmp_path, known=KNOWN)
    assert server.ranges() == [None, "bytes=10000-"]


def test_an_answer_to_another_range_is_not_joined(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, cuts=[10_000], shift=512)
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=10000-", None]


def test_a_length_that_is_too_long_never_makes_a_whole_file(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, length=len(CONTENT) + 1, ranges=False)
    pauses: list[float] = []
    with pytest.raises(FetchError, match="must arrive whole, but got 102400 bytes"):
        get(server, tmp_path, attempts=4, pause_seconds=0.5, sleep=pauses.append)
    assert names(tmp_path) == {"file.part", "file.part.mark"}
    assert len(server.requests) == 4
    assert pauses == [0.5, 1.0, 2.0]


def test_a_length_that_is_too_short_is_found_by_the_digest(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, length=1000)
    with pytest.raises(FetchError, match=f"must be the published one.*{KNOWN.sha256}.* but got 1000 bytes"):
        get(server, tmp_path, known=Known(None, KNOWN.sha256))
    assert names(tmp_path) == set()


def test_a_wrong_size_is_refused_before_the_body(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT)
    with pytest.raises(FetchError, match=r"must be the published one \(5 bytes\), but got 102400 bytes: run"):
        get(server, tmp_path, known=Known(5, None))
    assert names(tmp_path) == set()


def test_wrong_bytes_leave_nothing(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT[::-1])
    with pytest.raises(
        FetchError, match=f"published one .*{KNOWN.sha256}.*, but got 102400 bytes, sha256 .*: run the command again"
    ):
        get(server, tmp_path, known=KNOWN)
    assert names(tmp_path) == set()
    assert len(server.requests) == 1, "the same wrong bytes would come again"


def test_a_spoilt_part_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 10_000)
    server.files["/file"] = File(CONTENT)
    get(server, tmp_path, known=KNOWN)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges() == ["bytes=10000-", None]


def test_a_whole_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    get(server, tmp_path, known=KNOWN)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == []


def test_a_whole_part_of_unknown_size_is_recognised(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    (tmp_path / "file.part.mark").write_text('"one"')
    server.files["/file"] = File(CONTENT)
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges() == ["bytes=102400-"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"the file must be there, but got status 404 .*/file: it was moved"),
        (401, r"must allow the download, but got status 401 .*: check that the address is public"),
        (403, r"must allow the download, but got status 403"),
        (418, r"must answer with a file, but got status 418"),
    ],
)
def test_a_refusal_is_final(server: Server, tmp_path: Path, status: int, message: str) -> None:
    server.files["/file"] = File(CONTENT, status=status)
    with pytest.raises(FetchError, match=message):
        get(server, tmp_path)
    assert len(server.requests) == 1
    assert names(tmp_path) == set()


def test_a_failing_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, status=[503, 429])
    get(server, tmp_path)
    assert len(server.requests) == 3


def test_a_dead_server_is_given_up(server: Server, tmp_path: Path) -> None:
    with serving() as other:
        pass
    with pytest.raises(FetchError, match=r"must arrive whole, but got 0 bytes .*[Rr]efused"):
        get(other, tmp_path)


def test_an_end_that_cannot_be_seen_is_refused_unless_a_digest_is_known(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, length=None)
    with pytest.raises(FetchError, match="must say how long"):
        get(server, tmp_path)
    assert names(tmp_path) == set()
    get(server, tmp_path, known=KNOWN)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_transfer_whose_end_cannot_be_seen_is_cut_where_bytes_lack(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, length=None, cuts=[10_000])
    get(server, tmp_path, known=KNOWN)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=10000-"]


def test_a_compressed_transfer_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchError, match="must come as it is, but got Content-Encoding gzip"):
        get(server, tmp_path)


@pytest.mark.parametrize("chunked", [False, True])
def test_no_more_than_the_bound_is_kept(server: Server, tmp_path: Path, chunked: bool) -> None:
    server.files["/file"] = File(CONTENT, chunked=chunked)
    with pytest.raises(FetchError, match="must have at most 5000 bytes"):
        get(server, tmp_path, max_bytes=5000)
    assert names(tmp_path) == set()


def test_a_file_that_does_not_fit_is_not_begun(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    server.files["/file"] = File(CONTENT)
    with pytest.raises(FetchError, match="must have room for the file, but got 102400 bytes to come"):
        get(server, tmp_path)
    assert names(tmp_path) == set()


LOGIN = Login(("me", "secret"), "set the key")
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


def test_a_login_is_sent_only_when_it_is_asked_for(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, login=BASIC)
    get(server, tmp_path, login=LOGIN)
    assert [request.headers.get("authorization") for request in server.requests] == [None, BASIC]


def test_a_refused_login_names_its_remedy_and_not_its_key(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = File(CONTENT, login="another")
    with pytest.raises(FetchError, match=r"status 401 .*: set the key") as raised:
        get(server, tmp_path, login=LOGIN)
    assert "secret" not in str(raised.value)


def test_a_login_does_not_follow_a_redirection(server: Server, tmp_path: Path) -> None:
    with serving() as elsewhere:
        elsewhere.files["/real"] = File(CONTENT)
        server.files["/file"] = File(status=[401, 302], headers={"Location": f"{elsewhere.url}/real"})
        get(server, tmp_path, login=LOGIN)
        assert [request.headers.get("authorization") for request in server.requests] == [None, BASIC]
        assert [request.headers.get("authorization") for request in elsewhere.requests] == [None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_redirected_download_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.files["/real"] = File(CONTENT, cuts=[10_000])
    server.files["/file"] = File(status=302, headers={"Location": "/real"})
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [request.headers.get("range") for request in server.requests if request.path == "/real"] == [
        None,
        "bytes=10000-",
    ]


def test_https_must_not_lead_to_http() -> None:
    response: Any = SimpleNamespace(url="http://b/file", headers={})
    with pytest.raises(FetchError, match="https must not lead to http"):
        _check_transport("https://a/file", response)
    _check_transport("http://a/file", response)
