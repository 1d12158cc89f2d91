"""A socket survives its process, as systemd keeps it; here the test is systemd."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from iacorch.agent.network.dns.sockets import datagram
from iacorch.daemons.process import KeptSockets

SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "names"}
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""
NEXT_PROCESS = """
from iacorch.daemons.process import KeptSockets
def make(): raise SystemExit("it was not handed down")
kept = KeptSockets()
print(kept.get("names", make).recv(100).decode(), end="")
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_what_arrives_between_two_processes_is_read_by_the_second(systemd: socket.socket) -> None:
    kept = KeptSockets()
    with kept.get("names", partial(datagram, "127.0.0.1", 0)) as used, socket.socket(type=socket.SOCK_DGRAM) as client:
        address = used.getsockname()
        with kept.get("names", partial(datagram, "127.0.0.1", 0)) as again:
            assert again.getsockname() == address, "the kept one"
        message, descriptors, _, _ = socket.recv_fds(systemd, 1000, 8)
        assert message == b"FDSTORE=1\nFDNAME=names"
        with closing(socket.socket(fileno=descriptors[0])) as held:
            used.close()
            client.sendto(b"are you there?", address)
            done = subprocess.run(
                [sys.executable, "-c", SYSTEMD, str(held.fileno()), NEXT_PROCESS],
                pass_fds=[held.fileno()],
                capture_output=True,
                check=False,
            )
            assert done.stdout == b"are you there?", done.stderr
    kept.let_go()
    assert systemd.recv(1000) == b"FDSTOREREMOVE=1\nFDNAME=names"
