"""A real server on a memory store, and clients with certificates of its own CA."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.server import bootstrapping
from iacorch.server.http.app import ApiServer
from iacorch.server.http.connections import Bounds
from iacorch.server.identity import pki, signing
from iacorch.server.identity.authn import Authenticator
from iacorch.server.registry import Registry
from iacorch.server.request import NODES
from iacorch.store.memory import MemoryStore

JOIN_TOKEN = "join-token-of-this-test"


@dataclass
class World:
    url: str
    registry: Registry
    authority: pki.Pki
    folder: Path
    server: ApiServer

    def context(self, pair: signing.Pair | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.ca.certificate.decode())
        if pair is not None:
            pem = self.folder / "client.pem"
            pem.write_bytes(pair.certificate + pair.key)
            context.load_cert_chain(pem)
        return context

    @asynccontextmanager
    async def session(self, pair: signing.Pair | None) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self.context(pair))
        async with aiohttp.ClientSession(self.url, connector=connector) as session:
            yield session

    def admin(self) -> signing.Pair:
        return self.authority.admin()

    def node(self, name: str) -> signing.Pair:
        user = f"system:node:{name}"
        return signing.make_client(self.authority.ca, user=user, group=NODES, now=SystemClock().now(), serial=7)


@asynccontextmanager
async def world(folder: Path, bounds: Bounds = Bounds()) -> AsyncIterator[World]:  # noqa: B008 - frozen
    clock, ids, store = SystemClock(), SystemIds(), MemoryStore()
    authority = pki.Pki(folder / "pki", clock=clock, ids=ids)
    registry = Registry(store, clock=clock, ids=ids)
    await bootstrapping.fill(registry)
    server = ApiServer(
        registry, pki=authority, authenticator=Authenticator(JOIN_TOKEN), clock=clock, ids=ids, bounds=bounds
    )
    port = await server.start("127.0.0.1", 0, authority.server_context(["localhost", "127.0.0.1"]))
    server.ready = True
    try:
        yield World(f"https://127.0.0.1:{port}", registry, authority, folder, server)
    finally:
        await server.stop()
        await store.close()
