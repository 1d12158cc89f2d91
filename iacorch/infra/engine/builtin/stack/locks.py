"""Who writes a stack: one engine at a time, and nobody while children of a killed one still live.

    .pulumi/locks/organization/PROJECT/STACK/UUID.json     who writes; Pulumi's own, so that its CLI keeps out
    .pulumi/children/PROJECT/STACK                         empty; flock'ed by a run and by every process it starts

In: the folder of the backend. Out: `writing`, a frame around a run; `engine.py` and `admin.py` enter it. A lock file
whose process has died on this host, or was of an earlier boot of it, is removed by the next writer; nobody else's lock
ever is. The second file is for kill -9: plugins inherit its open descriptor, so the kernel says when the last is
gone, and until then they may still be making what the next run would look for in vain.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import orjson

from iacorch.infra.engine.builtin.stack.files import write
from iacorch.infra.engine.errors import StackLocked
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

#: Shells of the children use the descriptors below for themselves.
_FIRST_DESCRIPTOR: Final = 10


class Locks:
    """The locks of one stack."""

    def __init__(self, dot: Path, project: str, stack: str, clock: Clock, ids: Ids) -> None:
        self._stack, self._clock, self._ids = stack, clock, ids
        self._folder = dot / "locks" / "organization" / project / stack
        self._children = dot / "children" / project / stack

    @asynccontextmanager
    async def writing(self, on_wait: Callable[[str], None]) -> AsyncIterator[int]:
        """Keep everybody else out. Gives the descriptor that the children of this run are to inherit.

        StackLocked names who holds the stack; `on_wait` hears why there is a wait.
        """
        mine = self._take()
        try:
            descriptor = await self._alone(on_wait)
            try:
                yield descriptor
            finally:
                # Explicitly, for all who inherited it: what a plugin left running on purpose does not hold the stack.
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
        finally:
            mine.unlink(missing_ok=True)

    def clear(self) -> int:
        """Remove every lock, whoever holds it; the number of lock files there were."""
        files = list(self._folder.glob("*.json"))
        for path in files:
            path.unlink(missing_ok=True)
        self._children.unlink(missing_ok=True)
        return len(files)

    def _take(self) -> Path:
        """Look, write, look again, as Pulumi does."""
        self._refuse_if_taken(None)
        mine = self._folder / f"{self._ids.uid()}.json"
        content = {
            "pid": os.getpid(),
            "username": _user(),
            "hostname": socket.gethostname(),
            "timestamp": self._clock.now().isoformat().replace("+00:00", "Z"),
            "boot": _boot(),
        }
        write(mine, orjson.dumps(content))
        try:
            self._refuse_if_taken(mine)
        except StackLocked:
            mine.unlink(missing_ok=True)
            raise
        return mine

    def holder(self, besides: Path | None = None) -> str:
        """Who writes the stack now, in words; empty when nobody does. Locks of dead processes are removed."""
        for path in sorted(self._folder.glob("*.json")):
            if path == besides:
                continue
            try:
                holder = orjson.loads(path.read_bytes())
                pid, host, boot = int(holder["pid"]), str(holder["hostname"]), str(holder.get("boot") or "")
                who = f"{holder.get('username', '?')}@{host} (pid {pid}) since {holder.get('timestamp', '?')}"
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError):
                pid, host, boot, who = 0, "", "", f"an unreadable lock {path}"
            if host == socket.gethostname() and (boot not in ("", _boot()) or not _alive(pid)):
                path.unlink(missing_ok=True)
                continue
            return who
        return ""

    def _refuse_if_taken(self, mine: Path | None) -> None:
        if who := self.holder(mine):
            raise StackLocked(
                f"the stack {self._stack} is locked by {who}",
                hint=f"wait for it to end; if it has, remove the lock with: iacorch stack unlock {self._stack}",
            )

    async def _alone(self, on_wait: Callable[[str], None]) -> int:
        """Wait, boundedly, until no child of an earlier run is left."""
        self._children.parent.mkdir(parents=True, exist_ok=True)
        low = os.open(self._children, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
        os.close(low)
        try:
            await self._flock(descriptor, on_wait)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    async def _flock(self, descriptor: int, on_wait: Callable[[str], None]) -> None:
        began = self._clock.monotonic()
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            except OSError:
                return  # a file system without such locks: the guards of the children must do
            else:
                return
            if not told:
                on_wait("waiting for the plugins of a run that was killed to end")
                told = True
            if self._clock.monotonic() - began > limits.ENGINE_SURVIVORS_SECONDS:
                raise StackLocked(
                    f"processes that a killed run of the stack {self._stack} started are still there: "
                    f"they hold {self._children}",
                    hint=f"find them with: fuser {self._children}; "
                    f"once they are of no harm: iacorch stack unlock {self._stack}",
                )
            await self._clock.sleep(limits.ENGINE_SURVIVORS_POLL_SECONDS)


def _alive(pid: int) -> bool:
    """One that has ended and that nobody has asked about (a zombie, where no init does) writes nothing any more."""
    try:
        os.kill(pid, 0)
        # the state follows the command's name in brackets, which may itself hold some
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except ProcessLookupError:
        return False
    except (OSError, OverflowError, IndexError):
        return True


def _boot() -> str:
    """Which boot of the host this is: after the next one the number of a process is another's. Pulumi reads past it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
