"""What a client leaves open when it is left: nothing, also beside a peer that does not answer."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from iacorch.api.catalogue import CONFIG_MAP
from iacorch.client.config import Endpoint
from iacorch.client.http import HttpClient
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.server.identity import pki

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def one_that_falls_silent(folder: Path) -> Iterator[Endpoint]:
    """A server that begins an answer and then neither reads nor writes, so it says no goodbye either."""
    authority = pki.Pki(folder, clock=SystemClock(), ids=SystemIds())
    context = authority.server_context(["127.0.0.1"])
    left = threading.Event()

    def serve(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(BEGUN)
            left.wait(60)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield Endpoint(f"https://127.0.0.1:{listener.getsockname()[1]}", authority.ca.certificate)
        finally:
            left.set()
            thread.join()


async def leaves_a_watch(endpoint: Endpoint) -> None:
    async with HttpClient(endpoint) as client, client.watch(CONFIG_MAP, "default", revision="1"):
        pass


async def gives_up_a_request(endpoint: Endpoint) -> None:
    async with HttpClient(endpoint) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.get(CONFIG_MAP, "default", "any")


@pytest.mark.parametrize("what", [leaves_a_watch, gives_up_a_request])
def test_nothing_stays_open(tmp_path: Path, what: Callable[[Endpoint], Coroutine[None, None, None]]) -> None:
    with one_that_falls_silent(tmp_path) as endpoint, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(what(endpoint))
        gc.collect()
    assert [str(each.message) for each in told if issubclass(each.category, ResourceWarning)] == []
