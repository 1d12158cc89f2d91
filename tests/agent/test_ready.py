"""When systemd hears that the agent is ready: before anybody else has to answer."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from iacorch.agent import join
from iacorch.daemons import agent
from iacorch.kit.clock import SystemClock
from iacorch.kit.tasks import Tasks
from iacorch.server.identity.signing import make_ca, sign_node
from tests.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("age_days", [0, 300], ids=["fresh", "to be renewed"])
async def test_an_agent_is_ready_while_docker_and_the_control_plane_are_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_days: int
) -> None:
    born = SystemClock().now() - timedelta(days=age_days)
    ca = make_ca(now=born, serial=1)
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    server = "https://127.0.0.1:1"
    joining = join.JoinSettings(server, tmp_path / "ca.crt", None, "n1", tmp_path / "data" / "pki")
    key = join.private_key(joining.folder)
    request = join.signing_request(key, "n1")
    join.keep(joining, ca.certificate, sign_node(ca, csr=request, node_name="n1", now=born, serial=2), key)
    settings = agent.Settings(
        server=server,
        ca_file=joining.ca_file,
        token_file=None,
        node_name="n1",
        node_address=IPv4Address("127.0.0.1"),
        data_dir=tmp_path / "data",
        docker_socket=str(tmp_path / "no-docker.sock"),
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        async with asyncio.timeout(PATIENCE_SECONDS), Tasks("test") as tasks:
            tasks.spawn(agent.serve(settings))
            said = await asyncio.get_running_loop().sock_recv(systemd, 1000)
            assert said.startswith(b"READY=1\n")
