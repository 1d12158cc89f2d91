"""Following a log to its end, although the engine ends the stream too early."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from iacorch.agent.runtime.docker_logs import Entries

ENTRIES = [(f"2026-01-01T00:00:0{n}.00000000{n}Z", f"line {n}\n") for n in range(5)]


def stream(*numbers: int) -> bytes:
    frames = [" ".join(ENTRIES[number]).encode() for number in numbers]
    return b"".join(struct.pack(">B3xI", 1, len(frame)) + frame for frame in frames)


def text(*numbers: int) -> bytes:
    return "".join(ENTRIES[number][1] for number in numbers).encode()


@given(st.integers(1, 40))
def test_entries_come_whole_however_the_stream_is_cut(size: int) -> None:
    entries, whole = Entries(with_timestamps=False), stream(0, 1, 2, 3, 4)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert b"".join(entries.take(piece) for piece in pieces) == text(0, 1, 2, 3, 4)


def test_what_was_told_is_not_told_again() -> None:
    entries = Entries(with_timestamps=False)
    assert entries.take(stream(0, 1, 2)[:-3]) == text(0, 1)
    assert entries.read_again() == 1767225601
    assert entries.take(stream(1, 2, 3, 4)) == text(2, 3, 4)


def test_nothing_told_means_read_all() -> None:
    entries = Entries(with_timestamps=False)
    assert entries.read_again() is None
    assert entries.take(stream(0)) == text(0)


def test_timestamps_are_kept_where_they_are_asked_for() -> None:
    assert Entries(with_timestamps=True).take(stream(3)) == " ".join(ENTRIES[3]).encode()
