"""The DNS server and its upstream over real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dnslib import QTYPE, RCODE, RR, SOA, A, DNSQuestion, DNSRecord

from iacorch.agent.network.dns.server import DnsServer
from iacorch.agent.network.dns.upstream import NodeResolvers, Upstream
from iacorch.agent.network.dns.zone import Record, Zone
from iacorch.api.networks import CLUSTER_DNS_ADDRESS as DNS_ADDRESS
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.tasks import Tasks

HOST = "127.0.0.1"


class Resolver(asyncio.DatagramProtocol):
    """An upstream that knows example.com, fails for broken.example and denies the rest."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = DNSRecord.parse(data)
        name = str(question.q.qname).rstrip(".").lower()
        self.asked.append(name)
        reply = question.reply(aa=0)
        if name == "example.com":
            reply.add_answer(RR(name, QTYPE.A, rdata=A("192.0.2.7"), ttl=60))
        elif name == "broken.example":
            reply.header.rcode = RCODE.SERVFAIL
        else:
            reply.header.rcode = RCODE.NXDOMAIN
            reply.add_auth(RR("example", QTYPE.SOA, rdata=SOA("ns.example", "h.example", (1, 2, 3, 4, 60)), ttl=60))
        # A forged answer first: another number, so it must not be believed.
        forged = DNSRecord.parse(reply.pack())
        forged.header.id ^= 1
        self.transport.sendto(forged.pack(), addr)
        self.transport.sendto(reply.pack(), addr)


def free_port() -> int:
    """A port that is free for UDP and TCP."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


class World:
    def __init__(self) -> None:
        self.resolver = Resolver()
        self.servers = [HOST]
        self.port = free_port()
        self.zone = Zone("cluster.local")
        self.zone.loaded = True
        self.zone.put("default/web", {"web.default.svc.cluster.local": (Record("A", "10.96.1.1"),)})
        for name, target in (("out", "example.com"), ("nowhere", "nothing.example")):
            self.zone.put(f"default/{name}", {f"{name}.default.svc.cluster.local": (Record("CNAME", target),)})

    async def ask(self, name: str, *, tcp: bool = False) -> tuple[str, list[str]]:
        question = DNSRecord.question(name)
        packet = await asyncio.to_thread(question.send, HOST, self.port, tcp=tcp, timeout=10)
        reply = DNSRecord.parse(packet)
        assert reply.header.id == question.header.id
        return str(RCODE.get(reply.header.rcode)), [str(record.rdata) for record in reply.rr]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: world.resolver, local_addr=(HOST, 0))
    upstream_port = transport.get_extra_info("sockname")[1]
    upstream = Upstream(lambda: world.servers, clock=SystemClock(), ids=SeededIds(1), port=upstream_port)
    ready = asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(DnsServer(world.zone, upstream).run([HOST], port=world.port, ready=ready))
        await asyncio.wait_for(ready.wait(), 10)
        yield world
    transport.close()


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_the_clusters_names_ask_nobody(world: World, tcp: bool) -> None:
    assert await world.ask("web.default.svc.cluster.local", tcp=tcp) == ("NOERROR", ["10.96.1.1"])
    assert await world.ask("gone.default.svc.cluster.local", tcp=tcp) == ("NXDOMAIN", [])
    assert world.resolver.asked == []


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_other_names_are_asked_once_and_remembered(world: World, tcp: bool) -> None:
    for name in ("example.com", "Example.COM"):
        assert await world.ask(name, tcp=tcp) == ("NOERROR", ["192.0.2.7"])
    for _ in range(2):
        assert await world.ask("nothing.example", tcp=tcp) == ("NXDOMAIN", [])
    assert world.resolver.asked == ["example.com", "nothing.example"]


@pytest.mark.parametrize("number", [0, 3, 4242])
async def test_a_type_without_a_name_is_asked_by_its_number(world: World, number: int) -> None:
    question = DNSRecord(q=DNSQuestion("nothing.example", number))
    reply = DNSRecord.parse(await asyncio.to_thread(question.send, HOST, world.port, tcp=False, timeout=10))
    assert reply.header.rcode == RCODE.NXDOMAIN


async def test_a_question_that_cannot_be_passed_on_takes_nobody_elses_answer_away(world: World) -> None:
    world.zone.put("default/odd", {"odd.default.svc.cluster.local": (Record("CNAME", "x" * 70 + ".example"),)})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(DNSRecord.question("odd.default.svc.cluster.local").pack(), (HOST, world.port))
    assert await world.ask("example.com") == ("NOERROR", ["192.0.2.7"])


async def test_failures_are_not_remembered(world: World) -> None:
    for _ in range(2):
        assert await world.ask("broken.example") == ("SERVFAIL", [])
    assert world.resolver.asked == ["broken.example"] * 2


async def test_a_server_that_does_not_listen_is_passed_over(world: World) -> None:
    world.servers = ["127.0.0.53", HOST]
    assert await world.ask("example.com") == ("NOERROR", ["192.0.2.7"])


async def test_without_servers_there_is_an_answer_too(world: World) -> None:
    world.servers = []
    assert await world.ask("example.com") == ("SERVFAIL", [])


async def test_an_external_name_brings_its_addresses(world: World) -> None:
    assert await world.ask("out.default.svc.cluster.local") == ("NOERROR", ["example.com.", "192.0.2.7"])
    assert await world.ask("nowhere.default.svc.cluster.local") == ("NOERROR", ["nothing.example."])


async def test_what_is_no_question_is_dropped_and_the_next_is_answered(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(b"\xff" * 40, (HOST, world.port))
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(b"\x00\x02\xff\xff")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    await writer.wait_closed()
    assert await world.ask("web.default.svc.cluster.local") == ("NOERROR", ["10.96.1.1"])


def test_the_nodes_resolvers_are_read_again_when_they_change(tmp_path: Any) -> None:
    file = tmp_path / "resolv.conf"
    resolvers = NodeResolvers(file, ours=DNS_ADDRESS)
    assert resolvers() == ()
    file.write_text("nameserver 192.0.2.1\n")
    assert resolvers() == ("192.0.2.1",)
    fresh = tmp_path / "new"
    fresh.write_text("nameserver 192.0.2.2\n")
    fresh.replace(file)
    assert resolvers() == ("192.0.2.2",)
