"""What only a store on disk can get wrong: crashes, broken files, full disks, two at a time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iacorch.errors import Compacted, StoreBroken
from iacorch.store.contract import Revision
from iacorch.store.sqlite import RESERVE, SqliteStore

_WRITER = """
import asyncio, sys
from pathlib import Path
from iacorch.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    async def write(worker):
        number = 0
        while True:
            key = b"/%d/%d" % (worker, number)
            revision = await store.create(key, b"value")
            if number % 3 == 2:
                await store.delete(key, expected=revision)
                print(f"- {key.decode()}", flush=True)
            else:
                print(f"+ {key.decode()} {revision}", flush=True)
            number += 1
    await asyncio.gather(*(write(worker) for worker in range(8)))

asyncio.run(main())
"""


def write_until_killed(path: Path, lines: int) -> list[str]:
    """What the writer had acknowledged when it was killed, after at least so many lines."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    try:
        heard = [writer.stdout.readline() for _ in range(lines)]
    finally:
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
        writer.wait()
        writer.stdout.close()
    heard += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    return heard


@pytest.mark.parametrize("lines", [3, 60, 400])
async def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "store.db"
    heard = await asyncio.to_thread(write_until_killed, path, lines)
    store = await SqliteStore.open(path)
    highest = 0
    for line in heard:
        sign, key, *revision = line.split()
        if sign == "-":
            assert await store.get(key.encode()) is None
            continue
        entry = await store.get(key.encode())
        assert entry is not None
        assert entry.revision == int(revision[0])
        highest = max(highest, entry.revision)
    assert store.revision >= highest
    assert await store.create(b"/new", b"") > highest
    await store.close()


def copy_as_a_crash_would_leave_it(folder: Path) -> None:
    for file in list(folder.iterdir()):
        (folder / f"crashed-{file.name}").write_bytes(file.read_bytes())


async def test_a_revision_is_never_given_out_twice_even_for_what_a_crash_lost(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    at = await store.create(b"/lease", b"0")
    for number in range(1, 50):
        at = await store.update(b"/lease", b"%d" % number, expected=at, transient=True)
    copy_as_a_crash_would_leave_it(tmp_path)
    await store.close()
    crashed = await SqliteStore.open(tmp_path / "crashed-store.db")
    entry = await crashed.get(b"/lease")
    assert entry is not None
    assert entry.value == b"0"
    assert at <= crashed.revision <= at + RESERVE + 1
    await crashed.close()


async def test_transient_writes_survive_a_clean_end(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    at = await store.create(b"/lease", b"0")
    at = await store.update(b"/lease", b"1", expected=at, transient=True)
    await store.close()
    again = await SqliteStore.open(tmp_path / "store.db")
    entry = await again.get(b"/lease")
    assert entry is not None
    assert (entry.value, entry.revision, again.revision) == (b"1", at, at)
    await again.close()


async def test_history_ends_at_a_restart(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.create(b"/a", b"0")
    await store.close()
    again = await SqliteStore.open(tmp_path / "store.db")
    async with again.watch(b"/", since=again.revision):
        pass
    with pytest.raises(Compacted):
        async with again.watch(b"/", since=Revision(1)):
            pass
    await again.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"not a database, but long enough to look at" * 40, "not a sound SQLite file", id="not-sqlite"),
        pytest.param(b"SQLite format 3\x00" + b"\xff" * 4096, "not a sound SQLite file", id="torn-header"),
    ],
)
async def test_a_broken_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreBroken, match=words) as caught:
        await SqliteStore.open(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert path.read_bytes() == content


async def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "store.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs(x)")
    other.close()
    with pytest.raises(StoreBroken, match="not an iacorch store"):
        await SqliteStore.open(path)


async def test_damage_inside_the_file_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    await asyncio.gather(*(store.create(b"/%d" % number, os.urandom(3000)) for number in range(50)))
    await store.close()
    content = bytearray(path.read_bytes())
    content[8192:40960] = b"\x5a" * (40960 - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreBroken, match=r"damaged|not a sound"):
        await SqliteStore.open(path)


async def test_one_file_has_one_store(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    with pytest.raises(StoreBroken, match="in use by another process"):
        await SqliteStore.open(tmp_path / "store.db")
    await store.close()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="cannot be opened"):
        await SqliteStore.open(tmp_path / "nowhere" / "store.db")


async def test_a_full_disk_fails_the_write_and_not_the_store(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_bytes=128 * 1024)
    await store.create(b"/small", b"1")
    with pytest.raises(StoreBroken, match="no space left"):
        await store.create(b"/large", b"x" * 1_000_000)
    assert await store.get(b"/large") is None
    await store.create(b"/small2", b"1")
    await store.close()


async def test_who_is_cancelled_during_a_commit_hears_of_it_when_the_write_is_over(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    writing = asyncio.create_task(store.create(b"/a", b"1"))
    await asyncio.sleep(0)  # it waits for the commit of this turn of the loop
    await asyncio.sleep(0)  # which is on its way to the disk
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    entry = await store.get(b"/a")
    assert entry is not None
    assert entry.value == b"1"
    await store.close()


async def test_a_write_that_is_cancelled_before_its_commit_began_is_passed_over(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    passed_over = asyncio.create_task(store.create(b"/a", b"1"))
    other = asyncio.create_task(store.create(b"/b", b"1"))
    await asyncio.sleep(0)  # both wait for the commit of this turn of the loop
    passed_over.cancel()
    with pytest.raises(asyncio.CancelledError):
        await passed_over
    await other
    assert await store.get(b"/a") is None
    await store.close()
