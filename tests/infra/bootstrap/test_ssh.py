"""What ssh says, as typed errors; what ssh is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from iacorch.infra.bootstrap.errors import (
    HostError,
    HostKeyChanged,
    HostUnreachable,
    KeyRefused,
    NotPrivileged,
    RemoteFailed,
)
from iacorch.infra.bootstrap.ssh import SshSession, SshTarget, failure, options, session, wait_reachable
from iacorch.kit.clock import LoopClock, SystemClock
from iacorch.kit.virtual import run_virtual

TARGET = SshTarget("10.0.0.5", user="admin", private_key="secret")


@pytest.mark.parametrize(
    ("status", "stderr", "kind"),
    [
        (255, "ssh: connect to host 10.0.0.5 port 22: Connection refused", HostUnreachable),
        (255, "ssh: connect to host 10.0.0.5 port 22: No route to host", HostUnreachable),
        (255, "kex_exchange_identification: read: Connection reset by peer", HostUnreachable),
        (255, "", HostUnreachable),
        (255, "admin@10.0.0.5: Permission denied (publickey).", KeyRefused),
        (255, 'Load key "key": error in libcrypto\nadmin@10.0.0.5: Permission denied (publickey).', KeyRefused),
        (255, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", HostKeyChanged),
        (77, "iacorch:no-sudo", NotPrivileged),
        (77, "iacorch:sudo-password", NotPrivileged),
        (2, "sh: 1: Syntax error", RemoteFailed),
    ],
)
def test_what_ssh_says_is_typed_and_names_host_and_remedy(status: int, stderr: str, kind: type[HostError]) -> None:
    error = failure(TARGET, status, stderr)
    assert type(error) is kind
    assert error.message.startswith("10.0.0.5: ")
    assert error.hint or kind is RemoteFailed


def test_the_first_answer_is_trusted_and_only_the_first() -> None:
    assert "StrictHostKeyChecking=accept-new" in options(TARGET, Path("/d"))
    pinned = SshTarget("10.0.0.5", host_keys="10.0.0.5 ssh-ed25519 AAAA")
    assert "StrictHostKeyChecking=yes" in options(pinned, Path("/d"))


def test_the_private_key_does_not_print() -> None:
    assert "secret" not in repr(TARGET)


async def test_a_session_leaves_nothing_behind() -> None:
    async with session(TARGET) as opened:
        directory = opened.directory
        assert (directory / "key").stat().st_mode & 0o777 == 0o600
        assert (directory / "key").read_text() == "secret\n"
    assert not directory.exists()


class Silent(SshSession):
    """A machine at which nobody answers, at once."""

    async def run(self, script: str, *, timeout_seconds: float = 0.0) -> str:
        raise failure(self.target, 255, "ssh: connect to host 192.0.2.1 port 22: Connection refused\r\n")


def test_who_waits_hears_why_and_how_long(tmp_path: Path) -> None:
    said: list[str] = []

    async def wait() -> None:
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
        await wait_reachable(Silent(TARGET, tmp_path), clock, timeout_seconds=25.0, say=said.append)

    with pytest.raises(HostUnreachable):
        run_virtual(wait())
    assert said[0] == f"{TARGET.host}: no SSH yet: Connection refused (3 s of at most 25 s)"
    assert [line.rpartition("(")[2].partition(" s")[0] for line in said] == ["3", "13", "23"]


async def test_nobody_there_is_named_after_the_patience_is_used_up() -> None:
    async with session(SshTarget("127.0.0.1", port=1)) as opened:
        with pytest.raises(HostUnreachable, match="port 1"):
            await wait_reachable(opened, SystemClock(), timeout_seconds=0.0)
