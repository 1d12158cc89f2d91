"""An answer that is there whole: one object's bytes, head and body written in one piece.

In: bytes as the store has them. Out: a response that aiohttp sends like its own. Most answers are of this form, and
aiohttp's general one (header maps, payload writers, compression) takes a tenth of the time of a create.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion11

_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class WholeJson(web.StreamResponse):
    """JSON with nothing special about it. Read its `status`; its `headers` are not looked at."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__(status=status)
        self._whole = body
        self._request: web.BaseRequest | None = None

    @property
    def keep_alive(self) -> bool | None:
        return self._request.keep_alive if self._request is not None else None

    @property
    def prepared(self) -> bool:
        return self._request is not None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._request = request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        request = self._request
        assert request is not None, "aiohttp prepares a response before it ends it"
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client went away before it was answered")
        head = (
            f"{_LINES[self.status]}Content-Type: application/json\r\nContent-Length: {len(self._whole)}\r\n"
            f"Date: {rfc822_formatted_time()}\r\n{_connection(request)}\r\n"
        )
        request.transport.write(head.encode() + self._whole)
        await request.writer.drain()


def _connection(request: web.BaseRequest) -> str:
    """Said only where it is not what the client's version takes for granted."""
    if request.version >= HttpVersion11:
        return "" if request.keep_alive else "Connection: close\r\n"
    return "Connection: keep-alive\r\n" if request.keep_alive else ""
