"""The answer of facts.sh as a value, and facts.sh itself on the machine that runs the tests."""

import asyncio
from importlib import resources
from ipaddress import IPv4Network
from itertools import pairwise

import pytest

from iacorch.infra.bootstrap.facts import Python, parse

ANSWER = """\
clock=1000.25
hostname=worker-1
kernel=6.1.0
arch=x86_64
os_id=debian
os_like=
os_version=12
os_name=Debian GNU/Linux 12 (bookworm)
systemd=1
python=3.11 /usr/bin/python3
python=3.11 /usr/bin/python3
cpus=2
memory_kib=2048
free_kib=/opt 10
free_kib=/var/lib 20
port=tcp 1A2B
port=udp 20F8
address=10.0.0.5
route=eth0 0000000A 00FFFFFF
route=docker0 000011AC 0000FFFF
pod_network=1
missing=vxlan
docker=20.10.24+dfsg1
docker_config=foreign
docker_in_use=1
nft=1
lacks_apparmor_parser=1
unit=iacorch-agent active
owner=iacorch-agent abc
bundle=iacorch-agent 0123456789abcdef
end=1
"""


def test_an_answer_is_read_field_by_field() -> None:
    facts = parse(ANSWER, asked_between=(1000.0, 1001.0))
    assert facts.hostname == "worker-1"
    assert facts.pythons == (Python((3, 11), "/usr/bin/python3"),)
    assert facts.memory_bytes == 2048 * 1024
    assert facts.free_bytes == {"/opt": 10240, "/var/lib": 20480}
    assert facts.ports == {("tcp", 0x1A2B), ("udp", 8440)}
    assert (facts.docker_version, facts.docker_config) == ("20.10.24+dfsg1", "foreign")
    assert facts.docker_in_use
    assert facts.routes == (("eth0", IPv4Network("10.0.0.0/24")), ("docker0", IPv4Network("172.17.0.0/16")))
    assert (facts.has_nft, facts.systemd, facts.missing_modules) == (True, True, ("vxlan",))
    assert facts.lacks_apparmor_parser
    assert facts.pod_network
    assert facts.installation.active("iacorch-agent")
    assert facts.installation.owners == {"iacorch-agent": "abc"}
    assert facts.installation.bundles == {"iacorch-agent": "0123456789abcdef"}


@pytest.mark.parametrize(
    ("asked_between", "offset"),
    [
        pytest.param((1000.0, 1001.0), 0.0, id="inside the span counts as exact"),
        pytest.param((900.0, 901.0), 99.0, id="ahead of the later reading"),
        pytest.param((1100.0, 1101.0), -99.0, id="behind the earlier reading, less the cut second"),
    ],
)
def test_the_clock_is_compared_with_both_of_our_readings(asked_between: tuple[float, float], offset: float) -> None:
    assert parse(ANSWER, asked_between=asked_between).clock_offset_seconds == offset


@pytest.mark.parametrize("text", ["", "Welcome to the machine\n", ANSWER.removesuffix("end=1\n")])
def test_an_answer_that_is_cut_off_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cut off"):
        parse(text)


async def test_the_script_runs_on_a_plain_shell() -> None:
    script = resources.files("iacorch.infra.bootstrap").joinpath("facts.sh").read_bytes()
    process = await asyncio.create_subprocess_exec(
        "sh", "-s", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    stdout, _ = await process.communicate(script)
    facts = parse(stdout.decode())
    assert facts.hostname
    assert facts.arch
    assert facts.cpus >= 1
    assert all(size >= 0 for size in facts.free_bytes.values())
    assert all(a <= b for a, b in pairwise(sorted(facts.ports)))
