"""What a server answers to the request for a file, or for the rest of one (RFC 9110, sections 13.1.5 and 14)."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import requests
import urllib3

from scripts.fetch_lib.errors import FetchError

PIECE: Final = 2**18
_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


class CutError(Exception):
    """The transfer ended early; another request may bring the rest."""


class OtherVersionError(CutError):
    """The server does not have the rest of what has arrived: begin anew."""


@dataclass(frozen=True)
class Login:
    """How a site is told who asks.

    Args:
        name_and_key: sent only where the site refused an anonymous request, and to that site alone; None: never.
        remedy: what to do where the site refuses all the same.
    """

    name_and_key: tuple[str, str] | None = None
    remedy: str = "check that the address is public"


@dataclass(frozen=True)
class Answer:
    """The body of one answer.

    Args:
        start: byte of the file that the body begins with.
        total: bytes of the whole file; None where the server does not say.
        self_ending: whether a body that is cut off can be told from a whole one.
        mark: what tells this version of the file from others; None where nothing does.
        pieces: the body.
    """

    start: int
    total: int | None
    self_ending: bool
    mark: str | None
    pieces: Iterator[bytes]


@contextmanager
def ask(url: str, offset: int, mark: str | None, login: Login, timeout_seconds: float) -> Iterator[Answer]:
    """Request `url` from byte `offset` on, provided that its mark is still `mark`.

    Raises:
        CutError: if the connection, also later while pieces are read, or the server fails for now.
        OtherVersionError: if there is no such rest.
        FetchError: if the server refuses.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "data-unlearning-search"}
    if offset:
        headers |= {"Range": f"bytes={offset}-"} | ({"If-Range": mark} if mark else {})
    with requests.Session() as session, _get(session, url, headers, login, timeout_seconds) as response:
        _check_status(url, response, login)
        _check_transport(url, response)
        yield _read_answer(response, offset)


def _get(
    session: requests.Session, url: str, headers: dict[str, str], login: Login, timeout_seconds: float
) -> requests.Response:
    def get(auth: tuple[str, str] | None) -> requests.Response:
        return session.get(url, headers=headers, auth=auth, stream=True, timeout=timeout_seconds)

    try:
        response = get(None)
        if response.status_code in _REFUSED and login.name_and_key is not None:
            response.close()
            response = get(login.name_and_key)
        return response
    except requests.exceptions.SSLError as error:
        remedy = "check the machine's clock and certificates, or use another mirror"
        raise FetchError("the server's certificate must be valid", f"{_reason(error)} from {url}", remedy) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise CutError(_reason(error)) from error
    except requests.RequestException as error:
        raise FetchError("an address must lead to a file", f"{_reason(error)} from {url}", "try a mirror") from error


def _reason(error: Exception) -> str:
    """The innermost cause, which is what a reader can use; the outer ones repeat the address with all its parts."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return f"{type(cause).__name__}: {cause}"


def _check_status(url: str, response: requests.Response, login: Login) -> None:
    status = response.status_code
    value = f"status {status} {response.reason or ''}".rstrip() + f" from {url}"
    if status in _REFUSED:
        raise FetchError("the server must allow the download", value, login.remedy)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise FetchError("the file must be there", value, "it was moved or removed: try a mirror that has it")
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise CutError(f"the server failed with status {status}")
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        raise FetchError("the server must answer with a file", value, "try again later, or try a mirror")


def _check_transport(url: str, response: requests.Response) -> None:
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise FetchError("https must not lead to http", f"such a redirection from {url}", "try a mirror")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise FetchError("a file must come as it is", f"Content-Encoding {encoding} from {url}", "try a mirror")


def _read_answer(response: requests.Response, offset: int) -> Answer:
    start, total = _position(response, offset)
    etag = response.headers.get("ETag", "")
    mark = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    self_ending = total is not None or response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    nothing_left = response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return Answer(start, total, self_ending, mark, iter(()) if nothing_left else _pieces(response))


def _position(response: requests.Response, offset: int) -> tuple[int, int | None]:
    """Where the body begins in the file, and how large that is."""
    if response.status_code == HTTPStatus.OK:  # also where the server knows no ranges, or has another version
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    total = None if found is None or found["total"] == "*" else int(found["total"])
    start = total if found is None or found["start"] is None else int(found["start"])
    if start != offset:
        raise OtherVersionError(f"the server offers the bytes from {start} on instead of {offset}")
    return offset, total


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes, so that nothing which arrived is lost when it is cut."""
    try:
        while piece := response.raw.read1(PIECE, decode_content=False):
            yield piece
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        raise CutError(_reason(error)) from error
