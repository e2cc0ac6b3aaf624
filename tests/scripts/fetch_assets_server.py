"""A real web server on 127.0.0.1 whose answers can be cut, wrong, refused or lied about."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast


@dataclass(frozen=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class File:
    """A file as the server gives it.

    Args:
        content: its bytes.
        etag: its mark; None: none.
        ranges: whether parts of it can be asked for.
        cuts: bytes after which the n-th answer's body is cut; None, or no entry: not cut.
        length: what Content-Length says; None: nothing; "true": the truth.
        chunked: send the body in chunks instead of telling a length.
        status: refuse with this status; a list: one for each request, 0 for none, then none.
        login: basic credentials to be given, as sent in the header.
        shift: offset by which the answer to a range is wrong.
        headers: more headers.
    """

    content: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True
    cuts: list[int | None] = field(default_factory=list)
    length: int | str | None = "true"
    chunked: bool = False
    status: int | list[int] = 0
    login: str | None = None
    shift: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def next_status(self) -> int:
        if isinstance(self.status, int):
            return self.status
        return self.status.pop(0) if self.status else 0

    def next_cut(self) -> int | None:
        return self.cuts.pop(0) if self.cuts else None


class Server(ThreadingHTTPServer):
    """Answers for the paths of `files`, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, File] = {}
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested here."""

    def ranges(self) -> list[str | None]:
        return [request.headers.get("range") for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silence."""

    def _answer(self) -> None:
        server = cast(Server, self.server)
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.requests.append(Request(self.command, self.path, headers))
        self.close_connection = True
        file = server.files.get(self.path.partition("?")[0])
        if file is None:
            self._refuse(404)
        elif file.login is not None and headers.get("authorization") != file.login:
            self._refuse(401)
        elif status := file.next_status():
            self._refuse(status, file.headers)
        else:
            self._send(file, headers)

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, file: File, headers: dict[str, str]) -> None:
        wanted = headers.get("range", "") if file.ranges else ""
        if wanted and headers.get("if-range", file.etag) != file.etag:
            wanted = ""
        start, end = 0, len(file.content)
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first) + file.shift, min(end, int(last) + 1 if last else end)
        if wanted and start >= len(file.content):
            self._refuse(416, {"Content-Range": f"bytes */{len(file.content)}"})
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(file.content)}")
        body = file.content[start:end]
        self._send_headers(file, len(body))
        if self.command == "GET":
            self._send_body(file, body)

    def _send_headers(self, file: File, size: int) -> None:
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif file.length is not None:
            self.send_header("Content-Length", str(size if file.length == "true" else file.length))
        if file.etag is not None:
            self.send_header("ETag", file.etag)
        self.send_header("Connection", "close")
        for name, value in file.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, file: File, body: bytes) -> None:
        cut = file.next_cut()
        sent = body if cut is None else body[:cut]
        if file.chunked:
            for begin in range(0, len(sent), 1000):
                piece = sent[begin : begin + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if cut is None:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(sent)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as the context lasts."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
