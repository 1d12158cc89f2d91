from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from iacorch.agent.network.attachments import AttachmentFile, Attachments
from iacorch.agent.network.contract import HostPort
from iacorch.agent.network.dns.snapshot import Snapshot
from iacorch.agent.network.dns.zone import Record
from iacorch.agent.network.ipam import Leases
from iacorch.errors import NetworkFailed

KEPT = Attachments(
    IPv4Network("10.244.1.0/24"),
    Leases({"uid": IPv4Address("10.244.1.7")}, {IPv4Address("10.244.1.6"): 12.5}, IPv4Address("10.244.1.7")),
    {"uid": (HostPort(8080, 80), HostPort(53, 53, "UDP", "192.0.2.1"))},
)


def test_attachments_come_back_as_they_were_written(tmp_path: Path) -> None:
    AttachmentFile(tmp_path / "network" / "a.json").write(KEPT)
    assert AttachmentFile(tmp_path / "network" / "a.json").read() == KEPT


def test_without_a_file_nothing_is_attached(tmp_path: Path) -> None:
    assert AttachmentFile(tmp_path / "a.json").read() == Attachments()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pod_range": "x", "leases": {}, "host_ports": {}}'])
def test_an_unreadable_file_is_set_aside_and_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    assert AttachmentFile(file).read() == Attachments()
    assert (tmp_path / "a.unreadable").read_text() == text


def test_a_disk_that_refuses_is_a_failure_of_the_network(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(NetworkFailed, match="cannot write"):
        AttachmentFile(tmp_path / "taken" / "a.json").write(KEPT)


def test_names_come_back_as_they_were_written(tmp_path: Path) -> None:
    parts = {"default/web": {"web.default.svc.cluster.local": (Record("A", "10.96.1.1"), Record("SRV", "x", 80))}}
    Snapshot(tmp_path / "n" / "names.json").write(parts)
    assert Snapshot(tmp_path / "n" / "names.json").read() == parts


@pytest.mark.parametrize("text", ["", "[]", '{"a": {"b": [1]}}', '{"a": 1}'])
def test_unreadable_names_are_no_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.json").write_text(text)
    assert Snapshot(tmp_path / "names.json").read() == {}
