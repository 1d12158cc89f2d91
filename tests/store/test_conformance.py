from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iacorch.store.contract import Store
from iacorch.store.memory import MemoryStore
from iacorch.store.sqlite import SqliteStore
from tests.store.conformance import StoreConformance


class TestMemory(StoreConformance):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore(history=8, queue_batches=4)
        yield store
        await store.close()


class TestSqlite(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(tmp_path / "store.db", history=8, queue_batches=4)
        yield store
        await store.close()
