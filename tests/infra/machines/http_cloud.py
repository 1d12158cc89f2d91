"""Clouds that answer JSON over HTTP, to try the libcloud driver against: what a server needs beside what it answers.

A fake of a cloud says what a request gets (`JsonCloud.answer`); here are the socket, the turns (one request at a time)
and the fates of creates: refused with a code, or carried out and never answered.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

BREAK_AFTER: Final = 0
"""A fate of a create: it is carried out, and the connection ends without an answer."""


class Refused(Exception):
    def __init__(self, code: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {body}")
        self.code, self.body = code, body


class JsonCloud(Protocol):
    url: str
    fates: deque[int]
    """Of the next creates: an HTTP code, or BREAK_AFTER."""

    def creates(self, method: str, path: str) -> bool: ...

    def refusal(self, code: int) -> Refused:
        """A fate in the cloud's own words."""
        ...

    def answer(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, Any], Mapping[str, str]]:
        """Code, body and headers of the answer. Raises Refused."""
        ...


def _handler(cloud: JsonCloud, lock: threading.Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            path = urlsplit(self.path).path
            headers: Mapping[str, str] = {}
            with lock:
                fate = cloud.fates.popleft() if cloud.creates(self.command, path) and cloud.fates else None
                try:
                    if fate:
                        raise cloud.refusal(fate)
                    code, answer, headers = cloud.answer(self.command, path, body, dict(self.headers))
                except Refused as refused:
                    code, answer = refused.code, refused.body
            if fate == BREAK_AFTER:
                self.close_connection = True
            else:
                self._say(code, answer, headers)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

        def _say(self, code: int, answer: Mapping[str, Any], headers: Mapping[str, str]) -> None:
            said = b"" if code == 204 else json.dumps(answer).encode()
            self.send_response(code)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(said)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


@contextmanager
def serving(cloud: JsonCloud) -> Iterator[None]:
    """At a free port, which `cloud.url` tells, for as long as the block lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(cloud, threading.Lock())) as server:
        cloud.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
