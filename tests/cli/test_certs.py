"""`iacorch certs` against a running control plane: what a person types, and sees."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from iacorch.agent import join
from iacorch.cli.commands.certs import certs, lines
from iacorch.client.config import read_kubeconfig
from iacorch.errors import Conflict
from iacorch.kit.clock import SystemClock
from tests.server import daemon

TOKEN = "a-token-for-tests-of-certificates"


def test_a_person_lists_rotates_and_withdraws(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)

    def typed(*words: str) -> Result:
        """Options may stand after the command, as people write them."""
        return CliRunner().invoke(certs, [*words, "--kubeconfig", str(running.kubeconfig), "--cwd", str(tmp_path)])

    with daemon.running(tmp_path / "data", "--no-controllers", "--join-token-file", str(token)) as running:
        url = read_kubeconfig(running.kubeconfig).url
        joining = join.JoinSettings(url, tmp_path / "data" / "ca.crt", token, "n1", tmp_path / "n1")
        asyncio.run(join.identity(joining, SystemClock()))
        listed = typed()
        assert [line.split()[0] for line in listed.output.splitlines()] == ["NAME", "ca", "server", "admin", "n1"]
        begun = typed("rotate", "--ca")
        assert "old-ca" in begun.output
        assert "iacorch refresh && iacorch up" in begun.output
        early = typed("rotate", "--ca", "--finish")
        assert isinstance(early.exception, Conflict)
        assert "still used by 1 nodes: n1" in str(early.exception)
        withdrawn = typed("withdraw", "n1")
        assert withdrawn.output == "withdrew the certificates of node n1\n"
        again = typed("withdraw", "n1")
        assert "no certificate of a node 'n1' is good" in str(again.exception)
        assert "old-ca" not in typed("rotate", "--ca", "--finish").output
        assert typed("rotate").exit_code == 0
        wrong = typed("rotate", "--finish")
        assert "--finish and --force are about the CA" in str(wrong.exception)


def test_a_certificate_near_its_end_is_marked() -> None:
    row = {"name": "n1", "use": "node", "ends": "2026-01-04T00:00:00Z", "issuer": "ca", "serial": "1"}
    table = lines({"now": "2026-01-01T00:00:00Z", "changing": False, "certificates": [row]})
    assert table[1].split() == ["n1", "node", "2026-01-04T00:00:00Z", "3d", "(soon)", "ca"]
