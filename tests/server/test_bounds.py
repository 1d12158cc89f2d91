"""What a client that is slow, greedy or broken gets: raw sockets against a real server with small bounds."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iacorch.server.http.connections import Bounds
from tests.server.http_fixtures import World, world

WAIT_SECONDS = 60
MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass
class Wire:
    """A connection of the administrator, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *lines: str) -> None:
        self.writer.write("\r\n".join(lines).encode())

    async def answer(self) -> tuple[int, dict[str, Any]]:
        async with asyncio.timeout(WAIT_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            return int(head[9:12]), json.loads(await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(WAIT_SECONDS):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""


@asynccontextmanager
async def wire(to: World, *, receive_bytes: int = 0) -> AsyncIterator[Wire]:
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", int(to.url.rpartition(":")[2])))
    context = to.context(to.admin())
    reader, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname="127.0.0.1")
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


async def test_a_head_that_does_not_come_ends_the_connection(tmp_path: Path) -> None:
    async with world(tmp_path, Bounds(head_seconds=0.3)) as running, wire(running) as slow:
        slow.send("GET /version HTTP/1.1", "Host: a", "X-More")
        assert await slow.rest() == b""


async def test_a_body_that_does_not_come_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, Bounds(body_seconds=0.3)) as running, wire(running) as slow:
        slow.send(f"POST {MAPS} HTTP/1.1", "Host: a", "Content-Type: application/json", "Content-Length: 100", "", "{")
        code, status = await slow.answer()
        assert (code, status["kind"], status["reason"]) == (504, "Status", "Timeout")
        assert await slow.rest() == b"", "and the connection ends"


async def test_a_body_that_says_it_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    async with world(tmp_path) as running, wire(running) as greedy:
        greedy.send(f"POST {MAPS} HTTP/1.1", "Host: a", "Content-Length: 99999999999", "", "")
        code, status = await greedy.answer()
        assert (code, status["kind"], status["reason"]) == (413, "Status", "RequestEntityTooLarge")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["NONSENSE", "", ""], id="no request"),
        pytest.param(["GET / HTTP/1.1", "Host: a", "X: " + "x" * 20_000, "", ""], id="a field too long"),
        pytest.param(["GET / HTTP/1.1", "Host: a", "No colon", "", ""], id="a field without a value"),
        pytest.param(["POST / HTTP/1.1", "Host: a", "Content-Length: minus", "", ""], id="a senseless length"),
    ],
)
async def test_what_is_not_http_is_told_so_as_a_status(tmp_path: Path, lines: list[str]) -> None:
    async with world(tmp_path) as running, wire(running) as broken:
        broken.send(*lines)
        code, status = await broken.answer()
        assert (code, status["kind"], status["reason"]) == (400, "Status", "BadRequest")
        assert await broken.rest() == b""


async def test_no_watch_is_endless(tmp_path: Path) -> None:
    async with world(tmp_path, Bounds(watch_seconds=0.3)) as running, wire(running) as watcher:
        watcher.send(f"GET {MAPS}?watch=true&timeoutSeconds=99999999 HTTP/1.1", "Host: a", "Connection: close", "", "")
        assert (await watcher.rest()).endswith(b"0\r\n\r\n"), "it ends as a whole answer does"


async def test_a_watcher_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with (
        world(tmp_path, Bounds(write_seconds=0.3)) as running,
        running.session(running.admin()) as admin,
        wire(running, receive_bytes=4096) as sleepy,
    ):
        sleepy.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sleepy.send(f"GET {MAPS}?watch=true HTTP/1.1", "Host: a", "", "")
        async with asyncio.timeout(WAIT_SECONDS):
            number, seen = 0, False
            while True:
                data = {"metadata": {"name": f"m{number}"}, "data": {"k": "x" * 500_000}}
                async with admin.post(MAPS, json=data) as made:
                    assert made.status == 201
                async with admin.get("/metrics") as metrics:
                    is_open = "iacorch_watches 1" in await metrics.text()
                if seen and not is_open:
                    break
                number, seen = number + 1, seen or is_open


async def test_one_client_gets_so_many_connections_and_others_still_get_theirs(tmp_path: Path) -> None:
    bounds = Bounds(connections_per_client=2)
    async with world(tmp_path, bounds) as running, wire(running) as first, wire(running) as second:
        for held in (first, second):
            held.send("GET /version HTTP/1.1", "Host: a", "", "")
            assert (await held.answer())[0] == 200
        with suppress(ConnectionError):
            async with wire(running) as third:
                third.send("GET /version HTTP/1.1", "Host: a", "", "")
                assert await third.rest() == b""
        async with running.session(None) as somebody, somebody.get("/version") as response:
            assert response.status == 200
