"""What both stores share: how much of the past is kept."""

from __future__ import annotations

import pytest

from iacorch.errors import Compacted
from iacorch.store.contract import Revision
from iacorch.store.keyspace import Keyspace, Write


def write(space: Keyspace, key: bytes, value: bytes) -> Revision:
    stage = space.stage()
    held = space.get(key)
    revision = stage.add(Write(key, value, held.revision if held else None))
    space.commit(stage)
    return revision


def test_the_past_is_bounded_in_bytes_as_well() -> None:
    space = Keyspace(history=1_000, history_bytes=100)
    small = write(space, b"a", b"x" * 10)
    later = write(space, b"b", b"x" * 10)
    space.watch(b"", small)
    write(space, b"c", b"x" * 80)
    space.watch(b"", small)  # 100 bytes are kept: what came after `small` is all there
    write(space, b"d", b"x" * 11)
    with pytest.raises(Compacted):
        space.watch(b"", small)
    space.watch(b"", later)


def test_a_value_larger_than_the_past_may_be_is_stored_all_the_same() -> None:
    space = Keyspace(history=1_000, history_bytes=100)
    revision = write(space, b"a", b"x" * 1_000)
    assert space.get(b"a") is not None
    space.watch(b"", revision)
