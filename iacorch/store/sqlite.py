"""The store on disk: one SQLite file in WAL mode, one writer thread, one commit for all writes that wait.

In: a path. Out: `contract.Store`. Reads come from memory (`keyspace`), which is filled from the file at the start; the
file holds current values only, so it stays as small as the cluster. Writes of one turn of the event loop, and those
that arrive while a commit is on its way to the disk, go together. A durable write returns after its commit was synced.

Transient writes go to disk with the next durable commit, or at the end. So that a revision given to one is never given
out again after a crash, the file reserves revisions ahead of their use (`RESERVE`).

What can go wrong on disk: a full disk fails the waiting writes, which are rolled back, and the store goes on; anything
else leaves the outcome unknown and breaks the store, so that a restart can look at what is really there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from iacorch.errors import KeyExists, RevisionMismatch, StoreBroken
from iacorch.kit import limits
from iacorch.store.contract import Entry, Page, Revision
from iacorch.store.keyspace import Keyspace, Stage, Step, Watcher, Write

RESERVE: Final = 10_000
"""Revisions reserved at a time; at most this many are skipped after a crash."""
APPLICATION_ID: Final = 0x1ACC0C4
FORMAT: Final = 1
_SCHEMA: Final = f"""
    CREATE TABLE entries(
        key BLOB PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL
    );
    CREATE TABLE state(one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, reserved INTEGER NOT NULL);
    INSERT INTO state VALUES (1, 1, 1);
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = {FORMAT};
"""
_PUT: Final = tuple(
    (
        rows,
        f"INSERT INTO entries VALUES {', '.join(['(?, ?, ?, ?)'] * rows)} ON CONFLICT (key) "
        "DO UPDATE SET value = excluded.value, revision = excluded.revision, created = excluded.created",
    )
    for rows in (32, 16, 8, 4, 2, 1)
)
"""By rows at once. Each statement gives the interpreter's lock away, and waits for it behind a busy event loop."""


@dataclass(slots=True)
class _Waiting:
    write: Write
    future: asyncio.Future[Revision]


class SqliteStore:
    """Make with `await SqliteStore.open(path)`; use from one event loop."""

    def __init__(self, database: _Database, space: Keyspace, reserved: Revision) -> None:
        self._database = database
        self._space = space
        self._reserved = reserved
        self._waiting: list[_Waiting] = []
        self._unsaved: dict[bytes, Entry] = {}
        self._committing: asyncio.Future[None] | None = None
        self._broken: StoreBroken | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        history: int = limits.STORE_HISTORY_REVISIONS,
        queue_batches: int = limits.STORE_WATCH_QUEUE_BATCHES,
        max_bytes: int = 0,
    ) -> SqliteStore:
        """Open or make the file, which may grow to `max_bytes` (0: as far as the disk allows).

        Raises StoreBroken, saying what was found and what to do.
        """
        database = _Database(path, max_bytes)
        try:
            revision, reserved, entries = await database.run(database.load)
        except BaseException:
            database.shutdown()
            raise
        space = Keyspace(history=history, queue_batches=queue_batches, revision=revision)
        space.load(entries)
        return cls(database, space, reserved)

    @property
    def revision(self) -> Revision:
        return self._space.revision

    async def get(self, key: bytes) -> Entry | None:
        return self._open().get(key)

    async def range(self, prefix: bytes, *, after: bytes = b"", limit: int = 0, at: Revision | None = None) -> Page:
        return self._open().range(prefix, after=after, limit=limit, at=at)

    async def create(self, key: bytes, value: bytes) -> Revision:
        return await self._write(Write(key, value, None))

    async def update(self, key: bytes, value: bytes, *, expected: Revision, transient: bool = False) -> Revision:
        return await self._write(Write(key, value, expected, transient))

    async def delete(self, key: bytes, *, expected: Revision) -> Revision:
        return await self._write(Write(key, None, expected))

    def watch(self, prefix: bytes, *, since: Revision) -> Watcher:
        return self._open().watch(prefix, since)

    def request_progress(self) -> None:
        self._open().request_progress()

    async def compact(self, before: Revision) -> None:
        self._open().compact(before)

    async def close(self) -> None:
        """Finish what is waiting, note that the end was clean, let go of the file."""
        while self._committing is not None or self._waiting:
            self._commit_waiting()
            if self._committing is not None:
                await asyncio.wait([self._committing])
        if self._broken is None:
            self._broken = StoreBroken("the store is closed")
            unsaved, revision = list(self._unsaved.values()), self._space.revision
            with contextlib.suppress(StoreBroken, _DiskFull):
                await self._database.run(lambda: self._database.save_clean(unsaved, revision))
        self._space.end_watches()
        self._database.shutdown()

    async def _write(self, write: Write) -> Revision:
        """Who is cancelled while waiting hears of it when the write is over, and may let go of what guards it."""
        self._open()
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._committing is None and len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._commit_waiting)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            # Not begun, it is passed over, as its future is cancelled; begun, it is over when this commit is.
            if waiting not in self._waiting and self._committing is not None:
                await asyncio.wait([self._committing])
            raise

    def _commit_waiting(self) -> None:
        """Decide every waiting write in order; put what holds on disk; continue in `_committed`."""
        if self._committing is not None or self._broken is not None:
            return
        waiting, self._waiting = self._waiting, []
        stage = self._space.stage()
        accepted: list[tuple[_Waiting, Revision]] = []
        for item in waiting:
            if item.future.cancelled():
                continue
            try:
                accepted.append((item, stage.add(item.write)))
            except (KeyExists, RevisionMismatch) as error:
                item.future.set_exception(error)
        if not stage.steps:
            return
        if all(step.transient for step in stage.steps) and stage.revision <= self._reserved:
            self._finish(stage, accepted)
            return
        reserved = self._reserved
        if stage.revision > reserved:
            reserved = Revision(stage.revision + RESERVE)
        riding = list(self._unsaved.values())
        self._unsaved = {}
        steps = stage.steps
        work = self._database.submit(lambda: self._database.save(riding, steps, stage.revision, reserved))
        self._committing = work
        work.add_done_callback(lambda done: self._committed(done, stage, accepted, riding, reserved))

    def _committed(
        self,
        done: asyncio.Future[None],
        stage: Stage,
        accepted: Sequence[tuple[_Waiting, Revision]],
        riding: Sequence[Entry],
        reserved: Revision,
    ) -> None:
        self._committing = None
        error = done.exception()
        if error is None:
            self._reserved = reserved
            self._finish(stage, accepted, saved=True)
        else:
            self._unsaved = {entry.key: entry for entry in riding} | self._unsaved
            failure = error if isinstance(error, StoreBroken) else StoreBroken(str(error))
            if not isinstance(error, _DiskFull):
                self._break(failure)
            for item, _ in accepted:
                if not item.future.done():
                    item.future.set_exception(failure)
        if self._waiting:
            self._commit_waiting()

    def _finish(self, stage: Stage, accepted: Sequence[tuple[_Waiting, Revision]], *, saved: bool = False) -> None:
        for step in stage.steps:
            self._unsaved.pop(step.change.key, None)
            if not saved and step.after is not None:
                self._unsaved[step.change.key] = step.after
        self._space.commit(stage)
        for item, revision in accepted:
            if not item.future.done():
                item.future.set_result(revision)

    def _break(self, failure: StoreBroken) -> None:
        self._broken = failure
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            if not item.future.done():
                item.future.set_exception(failure)
        self._space.end_watches()

    def _open(self) -> Keyspace:
        if self._broken is not None:
            raise StoreBroken(self._broken.message, hint=self._broken.hint)
        return self._space


class _DiskFull(StoreBroken):
    """The transaction was rolled back for want of space; the file is as it was."""


class _Database:
    """The file, touched by its one thread only. Translates what SQLite says."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: Any = None
        self._ended = False

    def submit(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._thread, self._translated, work)

    async def run(self, work: Callable[[], Any]) -> Any:
        return await self.submit(work)

    def shutdown(self) -> None:
        """Any number of times."""
        if self._ended:
            return
        self._ended = True
        self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=True)

    def load(self) -> tuple[Revision, Revision, list[Entry]]:
        """Open or make the file, check it, and read all of it. A clean end left `reserved` equal to `revision`."""
        connection = apsw.Connection(str(self._path))
        self._connection = connection
        connection.set_busy_timeout(0)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        is_new = not connection.pragma("schema_version")
        if not is_new:
            self._check()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {limits.STORE_WAL_BYTES}")
        connection.execute("BEGIN IMMEDIATE")
        if is_new:
            connection.execute(_SCHEMA)
        connection.execute("COMMIT")
        if self._max_bytes:
            connection.pragma("max_page_count", self._max_bytes // connection.pragma("page_size"))
        ((_, reserved),) = connection.execute("SELECT revision, reserved FROM state").fetchall()
        entries = [
            Entry(bytes(key), bytes(value), Revision(revision), Revision(created))
            for key, value, revision, created in connection.execute("SELECT key, value, revision, created FROM entries")
        ]
        return Revision(reserved), Revision(reserved), entries

    def save(self, riding: Sequence[Entry], steps: Sequence[Step], revision: Revision, reserved: Revision) -> None:
        """One transaction: the transient values that waited, then the steps in order, then where we are."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._put(riding)
            last = {step.change.key: step.after for step in steps}
            self._put([entry for entry in last.values() if entry is not None])
            gone = [(key,) for key, entry in last.items() if entry is None]
            if gone:
                connection.executemany("DELETE FROM entries WHERE key = ?", gone)
            connection.execute("UPDATE state SET revision = ?, reserved = ?", (revision, reserved))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def save_clean(self, unsaved: Sequence[Entry], revision: Revision) -> None:
        self.save(unsaved, (), revision, revision)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _put(self, entries: Sequence[Entry]) -> None:
        at = 0
        while at < len(entries):
            rows, statement = next(row for row in _PUT if row[0] <= len(entries) - at)
            values = [
                value
                for entry in entries[at : at + rows]
                for value in (entry.key, entry.value, entry.revision, entry.created)
            ]
            self._connection.execute(statement, values)
            at += rows

    def _check(self) -> None:
        connection = self._connection
        if connection.pragma("application_id") != APPLICATION_ID:
            raise StoreBroken(
                f"{self._path} is a SQLite file, but not an iacorch store",
                hint="name another data directory, or move the file away",
            )
        if (version := connection.pragma("user_version")) != FORMAT:
            raise StoreBroken(
                f"{self._path} has store format {version}, this iacorch reads format {FORMAT}",
                hint="run the iacorch that wrote it",
            )
        if (verdict := connection.pragma("quick_check")) != "ok":
            raise StoreBroken(f"{self._path} is damaged: {verdict}", hint="restore the file from a backup")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _translated(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except apsw.FullError as error:
            raise _DiskFull(
                f"no space left for {self._path}: nothing was stored", hint="make room on the disk; the server goes on"
            ) from error
        except apsw.BusyError as error:
            raise StoreBroken(
                f"{self._path} is in use by another process", hint="only one iacorchd may run on a data directory"
            ) from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise StoreBroken(
                f"{self._path} is not a sound SQLite file: {error}", hint="restore the file from a backup"
            ) from error
        except apsw.CantOpenError as error:
            raise StoreBroken(
                f"{self._path} cannot be opened: {error}", hint="check that the directory exists and can be written"
            ) from error
        except apsw.Error as error:
            raise StoreBroken(f"{self._path}: {error}", hint="check the disk, then start again") from error
