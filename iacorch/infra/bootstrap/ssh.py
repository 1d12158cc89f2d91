"""How a machine is reached: the system's `ssh`, one private directory per machine, typed failures.

In: an `SshTarget` (address, user, private key, pinned host keys). Out: `SshSession`, which runs POSIX shell scripts as
root over one shared connection, and the host keys that were seen. The first use pins the host's keys; they are kept by
the caller (the provider's outputs) and later uses accept nothing else. Called by `facts`, `runner` and the provider.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from iacorch.errors import BootstrapError
from iacorch.infra.bootstrap import private
from iacorch.infra.bootstrap.errors import (
    HostError,
    HostKeyChanged,
    HostUnreachable,
    KeyRefused,
    NotPrivileged,
    RemoteFailed,
)
from iacorch.infra.bootstrap.private import write_private
from iacorch.kit import limits
from iacorch.kit.clock import Clock

#: Read by the login shell of the user, whichever it is; becomes root where that takes no password.
_AS_ROOT = (
    'if [ "$(id -u)" = 0 ]; then exec sh -s; '
    "elif ! command -v sudo >/dev/null 2>&1; then echo iacorch:no-sudo >&2; exit 77; "
    "elif ! sudo -n true 2>/dev/null; then echo iacorch:sudo-password >&2; exit 77; "
    "else exec sudo -n sh -s; fi"
)
_NOT_ROOT_EXIT = 77
_SSH_EXIT = 255


@dataclass(frozen=True, slots=True)
class SshTarget:
    """A machine's address and how to get in. `host_keys` are known_hosts lines; empty means: trust the first answer."""

    host: str
    port: int = 22
    user: str = "root"
    private_key: str = field(default="", repr=False)
    host_keys: str = ""

    @property
    def address(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"

    @property
    def alias(self) -> str:
        """The name under which OpenSSH files the host's keys."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def options(target: SshTarget, directory: Path) -> list[str]:
    """Arguments of `ssh` for `target`: no questions, nothing from the user's own configuration, one connection."""
    strict = "yes" if target.host_keys.strip() else "accept-new"
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": str(limits.SSH_CONNECT_SECONDS),
        "ServerAliveInterval": "10",
        "ServerAliveCountMax": "3",
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": strict,
        "UserKnownHostsFile": str(directory / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "HashKnownHosts": "no",
        "UpdateHostKeys": "no",
        "ControlMaster": "auto",
        "ControlPersist": "30",
        "ControlPath": str(directory / "cm"),
        "LogLevel": "ERROR",
    }
    arguments = ["-F", "/dev/null", "-p", str(target.port)]
    if target.private_key:
        arguments += ["-i", str(directory / "key")]
    for name, value in settings.items():
        arguments += ["-o", f"{name}={value}"]
    return arguments


def failure(target: SshTarget, exit_status: int, stderr: str) -> HostError:
    """The typed error for what `ssh` or the remote shell said."""
    host, said = target.host, stderr.strip()
    last = said.splitlines()[-1] if said else f"exit status {exit_status}"
    if exit_status == _NOT_ROOT_EXIT and "iacorch:" in said:
        if "iacorch:no-sudo" in said:
            return NotPrivileged(
                host, f"{target.user} is not root and sudo is not installed", hint="log in as root or install sudo"
            )
        return NotPrivileged(
            host,
            f"sudo asks {target.user} for a password",
            hint=f"allow it without: echo '{target.user} ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/{target.user}",
        )
    if exit_status != _SSH_EXIT:
        return RemoteFailed(host, f"a command failed with exit status {exit_status}: {last}")
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
        return HostKeyChanged(
            host,
            "the host's SSH key is not the one that was pinned",
            hint="if the machine was made anew, replace the resource; otherwise find out who answers at this address",
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return KeyRefused(
            host,
            f"the SSH server does not accept the key for user {target.user}: {last}",
            hint=f"add the public key to ~{target.user}/.ssh/authorized_keys on the machine, or name another user",
        )
    if "error in libcrypto" in said or "invalid format" in said:
        return KeyRefused(host, f"the private key cannot be read: {last}", hint="give an OpenSSH private key")
    return HostUnreachable(
        host,
        f"port {target.port} gives no SSH session: {last}",
        hint="is the machine running, its address right, and port open from here?",
    )


class SshSession:
    """Runs scripts as root on one machine. Made by `session`; safe for several tasks of one loop."""

    def __init__(self, target: SshTarget, directory: Path) -> None:
        self.target = target
        self.directory = directory

    async def run(self, script: str, *, timeout_seconds: float = limits.SSH_COMMAND_SECONDS) -> str:
        """Standard output of a POSIX shell script run as root. Raises a HostError leaf."""
        process = await asyncio.create_subprocess_exec(
            "ssh",
            *options(self.target, self.directory),
            "-l",
            self.target.user,
            "--",  # a host is a host, whatever it begins with
            self.target.host,
            _AS_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                stdout, stderr = await process.communicate(script.encode())
        except TimeoutError as error:
            raise HostUnreachable(
                self.target.host, f"no answer within {timeout_seconds:.0f} s", hint="is the machine overloaded?"
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        status = process.returncode or 0
        if status != 0:
            raise failure(self.target, status, stderr.decode("utf-8", "replace"))
        return stdout.decode("utf-8", "replace")

    def host_keys(self) -> str:
        """The known_hosts lines of this machine as they are pinned now."""
        try:
            return (self.directory / "known_hosts").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""


@asynccontextmanager
async def session(target: SshTarget) -> AsyncIterator[SshSession]:
    """A session with its own directory for key, pinned host keys and control socket, removed at the end."""
    if shutil.which("ssh") is None:
        raise BootstrapError(
            "there is no ssh on this machine to enter others with", hint="apt-get install openssh-client"
        )
    with private.folder() as directory:
        write_private(directory / "key", target.private_key.rstrip("\n") + "\n")
        write_private(directory / "known_hosts", target.host_keys.strip() + "\n" if target.host_keys.strip() else "")
        try:
            yield SshSession(target, directory)
        finally:
            await _close(target, directory)


async def wait_reachable(
    session: SshSession,
    clock: Clock,
    *,
    timeout_seconds: float = limits.SSH_READY_SECONDS,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Return when the machine gives a root shell; a machine that just starts is waited for, and `say` is told why.

    Only silence is waited out; a refused key, a changed host key and missing rights are raised at once (the key only
    after a second refusal: a machine that just starts may not have its authorized_keys yet).
    """
    began = clock.monotonic()
    deadline, say_next = began + timeout_seconds, began + limits.SSH_SAY_FIRST_SECONDS
    refused_once = False
    while True:
        try:
            await session.run("true\n", timeout_seconds=limits.SSH_CONNECT_SECONDS * 2)
            return
        except KeyRefused:
            if refused_once:
                raise
            refused_once = True
        except HostUnreachable as error:
            now = clock.monotonic()
            if now >= deadline:
                raise
            if now >= say_next:
                say(still_waiting(error, now - began, timeout_seconds))
                say_next = now + limits.SSH_SAY_SECONDS
        await clock.sleep(limits.SSH_PAUSE_SECONDS)


def still_waiting(error: HostUnreachable, waited_seconds: float, limit_seconds: float) -> str:
    """For whoever waits: which host, what the last try met, for how long, and until when."""
    last = error.message.rpartition(": ")[2]
    return f"{error.host}: no SSH yet: {last} ({waited_seconds:.0f} s of at most {limit_seconds:.0f} s)"


async def _close(target: SshTarget, directory: Path) -> None:
    """End the shared connection, if there is one. One that does not end goes by itself after `ControlPersist`."""
    if not (directory / "cm").exists():
        return
    process = await asyncio.create_subprocess_exec(
        "ssh",
        *options(target, directory),
        "-O",
        "exit",
        "--",
        target.host,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(limits.SSH_CONNECT_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            process.kill()
