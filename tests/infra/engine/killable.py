"""`iacorch`, to be killed at a point: `python -m tests.infra.engine.killable`, with the arguments of `iacorch`.

A point is the moment before something that others can see: a file is opened for writing, renamed or removed, a
folder is made, a process is started, a plugin or an API is asked. Between two of them there is nothing that a kill
could cut in half, so the moment before one is the moment after the last one; calls have another point after their
answer.
What the process is told comes in `Kill`: where to write the points down, and at which of them to end by SIGKILL.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES: Final = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_OWN: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{10,}|\d{3,}")
"""Numbers and names that every run draws anew: points of two runs are compared without them."""


@dataclass(frozen=True)
class Kill:
    """`at` 0 kills nobody: the run only says which points there are. `below`: other files do not count."""

    trace: Path
    below: Path
    at: int = 0

    def environment(self) -> dict[str, str]:
        return {"KILL_TRACE": str(self.trace), "KILL_BELOW": str(self.below), "KILL_AT": str(self.at)}

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> Kill:
        return cls(Path(environment["KILL_TRACE"]), Path(environment["KILL_BELOW"]), int(environment["KILL_AT"]))

    def points(self) -> list[str]:
        """What was passed, in order; after a kill the last one is where it happened."""
        return self.trace.read_text().splitlines() if self.trace.exists() else []


class Points:
    """Counts, writes down, and kills."""

    def __init__(self, kill: Kill) -> None:
        self._kill, self._count = kill, itertools.count(1)
        self._below = f"{kill.below}{os.sep}"
        self._trace = os.open(kill.trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def pass_(self, words: str) -> None:
        number = next(self._count)
        os.write(self._trace, f"{_OWN.sub('#', words)}\n".encode())
        if number == self._kill.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: it is called before the thing is done."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and self._counts(path):
                self.pass_(f"write {self._short(path)}")
        elif event in _CHANGES:
            path = arguments[1] if event == "os.rename" else arguments[0]
            if self._counts(path) and not (event == "os.mkdir" and os.path.isdir(path)):
                self.pass_(f"{event.removeprefix('os.')} {self._short(path)}")
        elif event == "subprocess.Popen":
            self.pass_(f"start {os.path.basename(os.fsdecode(arguments[0]))}")

    def _counts(self, path: Any) -> bool:
        return isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(
            self._below
        )

    def _short(self, path: Any) -> str:
        return os.path.abspath(os.fsdecode(path)).removeprefix(self._below)


class Asked(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # it comes without types
    """A point before each call of a plugin, and one after its answer."""

    def __init__(self, points: Points) -> None:
        self._points = points

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        method = os.fsdecode(details.method).rpartition("/")[2]
        about = str(getattr(request, "urn", "")).rpartition("::")[2]
        self._points.pass_(f"ask {method} {about}".strip())
        call = await continuation(details, request)
        with suppress(grpc.aio.AioRpcError):  # whoever asked hears of it
            await call
        self._points.pass_(f"answered {method} {about}".strip())
        return call


def watch(points: Points) -> None:
    """Put the points into what everybody here goes through: the interpreter, gRPC, aiohttp."""
    sys.addaudithook(points.hear)
    channel, session = grpc.aio.insecure_channel, aiohttp.ClientSession.__init__

    def watched_channel(target: str, **options: Any) -> Any:
        return channel(target, interceptors=[Asked(points)], **options)

    told = aiohttp.TraceConfig()

    async def asked(session: Any, context: Any, call: Any) -> None:
        if call.method != "GET":
            points.pass_(f"{call.method} {call.url.path}")

    async def answered(session: Any, context: Any, call: Any) -> None:
        if call.method != "GET":
            points.pass_(f"answered {call.method} {call.url.path}")

    told.on_request_start.append(asked)
    told.on_request_end.append(answered)

    def watched_session(self: Any, *arguments: Any, **options: Any) -> None:
        session(self, *arguments, **{**options, "trace_configs": [*(options.get("trace_configs") or ()), told]})

    grpc.aio.insecure_channel = watched_channel
    aiohttp.ClientSession.__init__ = watched_session  # type: ignore[method-assign]


def main() -> None:
    watch(Points(Kill.told(os.environ)))
    from iacorch.cli.main import main as iacorch  # after everything is watched

    iacorch()


if __name__ == "__main__":
    main()
