"""Who writes a stack: one engine at a time, and nobody while children of a killed one still live.

    .pulumi/locks/organization/PROJECT/STACK/UUID.json     who writes; Pulumi's own, so that its CLI keeps out
    .pulumi/children/PROJECT/STACK                         empty; flock'ed by a run and by every process it starts

In: the folder of the backend. Out: `writing`, a frame around a run; `engine.py` and `admin.py` enter it.

The kernel answers for this machine: whoever runs under it, in whatever container, holds the second file until it ends,
and so do its plugins, which may still be making what the next run would look for in vain. So a run that got the second
file removes lock files of runs under the same kernel, and of earlier boots of it; `_is_over` has the rule. Lock files
of the Pulumi CLI say neither kernel nor container: their process may live where its number means something else, so
they stay until somebody removes them, as between two CLIs.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import orjson

from iacorch.infra.engine.builtin.stack.files import remove, write
from iacorch.infra.engine.errors import StackLocked, StateUnwritable
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

#: Shells of the children use the descriptors below for themselves.
_FIRST_DESCRIPTOR: Final = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process runs. Pulumi reads past all but the host's name, which tells little: containers may share it."""

    hostname: str = ""
    machine: str = ""
    boot: str = ""
    pids: str = ""
    """The namespace in which the number of a process means something."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file. `who` are words for people; `pid` 0 where it cannot be read."""

    path: Path
    who: str
    pid: int = 0
    place: Place = Place()


def _is_over(lock: Lock, here: Place, *, alone: bool, alive: Callable[[int], bool]) -> bool:
    """Whether the run behind a lock file has certainly ended. `alone`: the kernel gave us what every run holds.

    written under             alone    otherwise
    this kernel               yes      if its number is of our namespace and no process has it
    an earlier boot of it     yes      yes
    another one, or unknown   no       no
    """
    place = lock.place
    if not place.boot:
        return False
    if place.boot != here.boot:
        return place.hostname == here.hostname and place.machine in ("", here.machine)
    return alone or (bool(place.pids) and place.pids == here.pids and not alive(lock.pid))


_PLACE: Final = tuple(field.name for field in fields(Place))


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
        descriptor, alone = await self._wait(on_wait)
        try:
            mine = self._folder / f"{self._ids.uid()}.json"
            try:
                self._take(mine, alone=alone)
                yield descriptor
            finally:
                with suppress(StateUnwritable):  # the next run removes it
                    remove(mine)
                # Explicitly, for all who inherited it: what a plugin left running on purpose does not hold the stack.
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def clear(self) -> int:
        """Remove every lock, whoever holds it; the number of lock files there were."""
        files = list(self._folder.glob("*.json"))
        for path in (*files, self._children):
            remove(path)
        return len(files)

    def holder(self) -> str:
        """Who writes the stack now, in words; empty when nobody does."""
        alone = self._nobody_runs()
        for lock in self._locks():
            if not _is_over(lock, _here(), alone=bool(alone), alive=_alive):
                return lock.who
        return "" if alone is not False else "processes that a killed run has left"

    def _take(self, mine: Path, *, alone: bool) -> None:
        """Look, write, look again, as Pulumi does."""
        self._refuse_if_taken(alone=alone, mine=mine)
        content = {
            "pid": os.getpid(),
            "username": _user(),
            "timestamp": self._clock.now().isoformat().replace("+00:00", "Z"),
            **asdict(_here()),
        }
        # Pulumi takes every file in the folder for a lock, so a temporary one must never be left there.
        write(mine, orjson.dumps(content), by=self._children.parent)
        self._refuse_if_taken(alone=alone, mine=mine)

    def _refuse_if_taken(self, *, alone: bool, mine: Path) -> None:
        """StackLocked if anybody else may be writing; the locks of those who certainly are not are removed."""
        here = _here()
        for lock in self._locks():
            if lock.path == mine:
                continue
            if not _is_over(lock, here, alone=alone, alive=_alive):
                raise self._taken(lock, here)
            remove(lock.path)

    def _taken(self, lock: Lock, here: Place) -> StackLocked:
        ended = "wait for it to end; if it has"
        if lock.pid and not lock.place.boot and lock.place.hostname == here.hostname and not _alive(lock.pid):
            ended = "no such process runs here: unless it does in a container, or on another host of that name"
        return StackLocked(
            f"the stack {self._stack} is locked by {lock.who}",
            hint=f"{ended}, remove the lock with: iacorch stack unlock {self._stack}",
        )

    def _locks(self) -> Iterator[Lock]:
        for path in sorted(self._folder.glob("*.json")):
            try:
                found = orjson.loads(path.read_bytes())
                place = Place(**{name: str(found.get(name) or "") for name in _PLACE})
                who = f"{found.get('username', '?')}@{place.hostname} (pid {int(found['pid'])})"
                yield Lock(path, f"{who} since {found.get('timestamp', '?')}", int(found["pid"]), place)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                yield Lock(path, f"an unreadable lock {path}")

    def _open(self) -> int:
        try:
            self._children.parent.mkdir(parents=True, exist_ok=True)
            low = os.open(self._children, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnwritable(f"{self._children} cannot be made: {error.strerror}") from error
        try:
            return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
        finally:
            os.close(low)

    def _nobody_runs(self) -> bool | None:
        """Whether nothing under this kernel holds the stack; None where the file system cannot tell."""
        try:
            descriptor = os.open(self._children, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None  # nobody has run yet
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return True

    def _try(self) -> tuple[int, bool] | None:
        """The second file, held; False beside it where the file system has no such locks. None while others hold it."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == self._children.stat().st_ino:
                return descriptor, True
        except (BlockingIOError, FileNotFoundError):
            pass  # held; or removed by `clear`, as is one that is another file by now
        except OSError:
            return descriptor, False  # the guards of the children must do
        os.close(descriptor)
        return None

    async def _wait(self, on_wait: Callable[[str], None]) -> tuple[int, bool]:
        """What `_try` gives, once no child of an earlier run is left. A run that lives is not waited for."""
        began = self._clock.monotonic()
        tries = 0
        while (got := self._try()) is None:
            here = _here()
            for lock in self._locks():
                if not _is_over(lock, here, alone=False, alive=_alive):
                    raise self._taken(lock, here)
            tries += 1
            if tries == 2:  # at first it may be somebody who only looks
                on_wait("waiting for the plugins of a run that was killed to end")
            if self._clock.monotonic() - began > limits.ENGINE_SURVIVORS_SECONDS:
                raise StackLocked(
                    f"processes that a killed run of the stack {self._stack} started are still there: "
                    f"they hold {self._children}",
                    hint=f"find them with: fuser {self._children}; "
                    f"once they are of no harm: iacorch stack unlock {self._stack}",
                )
            await self._clock.sleep(limits.ENGINE_SURVIVORS_POLL_SECONDS)
        return got


def _here() -> Place:
    try:
        pids = os.readlink("/proc/self/ns/pid")
    except OSError:
        pids = ""
    boot = _words("/proc/sys/kernel/random/boot_id")
    return Place(socket.gethostname(), _words("/etc/machine-id"), boot, pids)


def _words(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


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


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
