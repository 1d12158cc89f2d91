"""Logs through the tunnel: a small agent answers, the API streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from iacorch.client.tunnel import CREDIT_BYTES, FRAME_BYTES, TUNNEL_PATH, Frame, FrameType, decode
from iacorch.kit.tasks import Tasks
from tests.server.http_fixtures import World, world

PODS = "/api/v1/namespaces/default/pods"
LOG = f"{PODS}/p/log"
Answering = Callable[[aiohttp.ClientWebSocketResponse, Frame], Awaitable[None]]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


@pytest.fixture
async def admin(running: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with running.session(running.admin()) as session:
        containers = [{"name": "a", "image": "i"}]
        pod = {"metadata": {"name": "p"}, "spec": {"containers": containers}}
        async with session.post(PODS, json=pod) as response:
            assert response.status == 201
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
        async with session.post(f"{PODS}/p/binding", json=binding) as response:
            assert response.status == 201
        yield session


@asynccontextmanager
async def agent(running: World, answering: Answering) -> AsyncIterator[None]:
    """Connected as n1; hands every frame to `answering`."""

    async def serve(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            await answering(socket, decode(message.data))

    async with (
        running.session(running.node("n1")) as session,
        session.ws_connect(TUNNEL_PATH) as socket,
        Tasks("agent") as tasks,
    ):
        tasks.spawn(serve(socket))
        yield


async def send(socket: aiohttp.ClientWebSocketResponse, type_: FrameType, stream: int, payload: bytes = b"") -> None:
    await socket.send_bytes(Frame(type_, stream, payload).encode())


async def test_a_log_comes_through_whole(admin: aiohttp.ClientSession, running: World) -> None:
    asked: list[dict[str, Any]] = []
    content = bytes(range(256)) * 4096
    credit = [CREDIT_BYTES]
    more = asyncio.Event()

    async def answering(socket: aiohttp.ClientWebSocketResponse, frame: Frame) -> None:
        if frame.type is FrameType.CREDIT:
            credit[0] += int.from_bytes(frame.payload, "big")
            more.set()
        elif frame.type is FrameType.OPEN:
            asked.append(orjson.loads(frame.payload))
            sending.spawn(everything(socket, frame.stream))

    async def everything(socket: aiohttp.ClientWebSocketResponse, stream: int) -> None:
        for start in range(0, len(content), FRAME_BYTES):
            chunk = content[start : start + FRAME_BYTES]
            while credit[0] < len(chunk):
                more.clear()
                await more.wait()
            credit[0] -= len(chunk)
            await send(socket, FrameType.DATA, stream, chunk)
        await send(socket, FrameType.END, stream, b"{}")

    query = {"tailLines": "5", "follow": "true"}
    async with (
        Tasks("sending") as sending,
        agent(running, answering),
        asyncio.timeout(20),
        admin.get(LOG, params=query) as response,
    ):
        assert await response.read() == content
    params = asked[0]["params"]
    assert asked[0]["verb"] == "logs"
    assert (params["pod"], params["container"], params["tailLines"], params["follow"]) == ("p", "a", 5, True)


async def test_an_error_of_the_agent_reaches_the_client(admin: aiohttp.ClientSession, running: World) -> None:
    async def answering(socket: aiohttp.ClientWebSocketResponse, frame: Frame) -> None:
        status = {"code": 400, "message": 'container "a" in pod "p" is waiting to start'}
        await send(socket, FrameType.END, frame.stream, orjson.dumps({"error": status}))

    async with agent(running, answering), admin.get(LOG) as response:
        assert response.status == 400
        assert "waiting to start" in (await response.json())["message"]


async def test_a_client_that_leaves_ends_the_stream(admin: aiohttp.ClientSession, running: World) -> None:
    ended = asyncio.Event()

    async def answering(socket: aiohttp.ClientWebSocketResponse, frame: Frame) -> None:
        if frame.type is FrameType.OPEN:
            await send(socket, FrameType.DATA, frame.stream, b"first\n")
        elif frame.type is FrameType.END:
            ended.set()

    async with agent(running, answering):
        async with admin.get(LOG, params={"follow": "true"}) as response:
            assert await response.content.readline() == b"first\n"
        async with asyncio.timeout(10):
            await ended.wait()


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        pytest.param("", 503, "is not connected", id="no-agent"),
        pytest.param("?container=z", 400, "container z is not valid for pod p", id="container"),
        pytest.param("?tailLines=-1", 400, "must be greater than or equal to 0", id="tail"),
        pytest.param("?sinceSeconds=0", 400, "must be greater than or equal to 1", id="since"),
    ],
)
async def test_what_cannot_be_read_is_said(admin: aiohttp.ClientSession, query: str, code: int, words: str) -> None:
    async with admin.get(LOG + query) as response:
        assert response.status == code
        assert words in (await response.json())["message"]


async def test_only_agents_open_tunnels(admin: aiohttp.ClientSession) -> None:
    async with admin.get(TUNNEL_PATH) as response:
        assert response.status == 403
