"""Child processes of a deployment: the program and the provider plugins.

Each runs in its own process group behind a small shell guard that holds a pipe to the engine: when the engine dies,
even by kill -9, the pipe closes and the guard ends the whole group, so that no plugin goes on making things nobody
records. All of them inherit the descriptor of `stack/locks.py`, by which the next run knows when the last has gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from iacorch.errors import EngineError
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks

#: The child runs behind the guard; its end ends the guard, with its exit code. `read` returns when the pipe closes; the
#: group then has three seconds to end by itself.
_GUARD: Final = (
    "exec 3<&0 </dev/null; "
    '"$@" 3<&- & child=$!; '
    "( read -r _ <&3; trap '' TERM; kill -TERM 0; "
    "n=0; while [ $n -lt 30 ] && kill -0 $child; do sleep 0.1; n=$((n+1)); done; kill -KILL 0 ) "
    ">/dev/null 2>&1 & watcher=$!; "
    "exec 3<&-; wait $child; code=$?; kill -KILL $watcher 2>/dev/null; exit $code"
)


#: The engine alone opens secrets; programs and plugins get the values that are meant for them.
_HIDDEN: Final = frozenset({"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"})


class _Streams(asyncio.subprocess.SubprocessStreamProtocol):
    """Knows when the process has ended. `Process.wait` knows when its pipes are closed too, and whatever the process
    left running may keep them open for ever.
    """

    def __init__(self) -> None:
        super().__init__(limit=limits.ENGINE_CHILD_LINE_BYTES, loop=asyncio.get_running_loop())
        self.ended = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.ended.set()


class Child:
    """A guarded process; lines it prints go to `on_line`, the last ones are kept for error messages."""

    def __init__(self, transport: asyncio.SubprocessTransport, streams: _Streams, name: str) -> None:
        self._transport, self._streams = transport, streams
        self._process = asyncio.subprocess.Process(transport, streams, asyncio.get_running_loop())
        self.name = name
        self._tail: deque[str] = deque(maxlen=limits.ENGINE_CHILD_TAIL_LINES)
        self.ended = streams.ended
        self._stopped = False
        self._readers: list[asyncio.Task[None]] = []

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    @property
    def tail(self) -> str:
        """What it printed last."""
        return "\n".join(self._tail)

    async def first_line(self) -> str:
        """The first line of its standard output; empty if it ended without one."""
        assert self._process.stdout is not None
        try:
            return (await self._process.stdout.readline()).decode(errors="replace").strip()
        except ValueError:
            return "a line without an end"

    def follow(self, tasks: Tasks, on_line: Callable[[str], None]) -> None:
        """Read what it prints until it ends."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        for stream, name in ((self._process.stdout, "stdout"), (self._process.stderr, "stderr")):
            self._readers.append(tasks.spawn(self._read(stream, on_line), name=f"{self.name}/{name}"))

    async def _read(self, stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
        while True:
            try:
                raw = await stream.readline()
            except ValueError:  # a line longer than the stream's limit: drop it and go on
                continue
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip("\n")
            self._tail.append(line)
            on_line(line)

    async def stop(self) -> None:
        """End the group: ask, wait a little, insist. Once only: later its number may be another group's."""
        if self._stopped:
            return
        self._stopped = True
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, sign)
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.ENGINE_CHILD_STOP_SECONDS):
                    await self.ended.wait()
        # The guard is reaped by now; what it guarded may have ignored the first signal.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._readers:
            await asyncio.wait(self._readers, timeout=limits.ENGINE_CHILD_LAST_WORDS_SECONDS)
        # What it left running on purpose may keep its ends of the pipes: ours are closed whether or not it does.
        self._transport.close()


async def start(
    argv: Sequence[str], *, name: str, cwd: Path, environment: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> Child:
    """Start a guarded process in its own group."""
    try:
        transport, streams = await asyncio.get_running_loop().subprocess_exec(
            _Streams,
            "/bin/sh",
            "-c",
            _GUARD,
            "guard",
            *argv,
            cwd=cwd,
            env={key: value for key, value in environment.items() if key not in _HIDDEN},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        raise EngineError(f"{name} cannot be started: {error.strerror}: {argv[0]}") from error
    return Child(transport, streams, name)
