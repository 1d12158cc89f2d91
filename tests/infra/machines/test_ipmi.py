"""Owned hosts' power by IPMI: the real ipmitool against a board that speaks the real protocol."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iacorch.infra.machines.contract import Power
from iacorch.infra.machines.errors import CloudRefused
from iacorch.infra.machines.ssh.power import is_on, switch
from iacorch.infra.machines.ssh.settings import Host, Ipmi

pytestmark = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="needs ipmitool")


@dataclass
class Rack:
    host: Host
    process: subprocess.Popen[str]

    def next_word(self) -> str:
        """What was asked of the power supply, after what was read before."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "password").write_text("secret")
    board = Ipmi(address="127.0.0.1", port=port, user="admin", password_file=tmp_path / "password")
    command = [sys.executable, "-m", "tests.infra.machines.board", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            rack = Rack(Host(name="rack-1", address="192.0.2.1", ipmi=board), process)
            assert rack.next_word() == "ready"
            yield rack
        finally:
            process.kill()


async def test_power_is_switched_and_asked_for(rack: Rack) -> None:
    assert await is_on(rack.host) is True
    await switch(rack.host, Power.RESET)
    assert rack.next_word() == "cycle"
    await switch(rack.host, Power.OFF)
    assert rack.next_word() == "soft"
    assert await is_on(rack.host) is False
    await switch(rack.host, Power.ON)
    assert rack.next_word() == "on"
    assert await is_on(rack.host) is True


async def test_a_reset_of_what_is_off_turns_it_on(rack: Rack) -> None:
    await switch(rack.host, Power.OFF)
    await switch(rack.host, Power.RESET)
    assert [rack.next_word(), rack.next_word()] == ["soft", "on"]


async def test_a_wrong_password_is_told(rack: Rack, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("guess")
    with pytest.raises(CloudRefused, match=r"power status of rack-1: ipmitool failed: Error: .*session"):
        await is_on(rack.host)
