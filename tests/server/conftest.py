"""A registry on a memory store, with everything seeded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.store.memory import MemoryStore


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    store = MemoryStore()
    made = Registry(store, clock=LoopClock(datetime(2026, 1, 1, tzinfo=UTC)), ids=SeededIds(1))
    await bootstrapping.fill(made)
    yield made
    await store.close()


@pytest.fixture
def client(registry: Registry) -> LocalClient:
    return LocalClient(registry)
