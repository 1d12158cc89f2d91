"""Listens for questions on the cluster DNS address and the gateway address of this node, over UDP and TCP.

In: a `Zone`, an `Upstream`. Out: answers. `node.py` runs it once the addresses exist. Questions about the cluster are
answered in the datagram callback itself, in about 0.1 ms; only questions for upstream become tasks. What cannot be
parsed is dropped (UDP) or ends the connection (TCP).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import cast

from dnslib import QR, RCODE, DNSError, DNSRecord

from iacorch.agent.network.dns.answer import alias_to_follow, answer, sized
from iacorch.agent.network.dns.sockets import NotKept, Sockets, datagram, stream
from iacorch.agent.network.dns.upstream import Upstream
from iacorch.agent.network.dns.zone import Zone
from iacorch.errors import NetworkFailed
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks, failure_of


def parse_question(packet: bytes) -> DNSRecord | None:
    """A question that can be answered, or None."""
    try:
        question = DNSRecord.parse(packet)
    except (DNSError, ValueError, struct.error, IndexError):
        return None
    return question if question.header.qr == QR.QUERY and len(question.questions) == 1 else None


class DnsServer:
    """One server for several addresses."""

    def __init__(self, zone: Zone, upstream: Upstream, sockets: Sockets | None = None) -> None:
        self._zone, self._upstream, self._sockets = zone, upstream, sockets or NotKept()
        self._connections = 0

    async def run(self, addresses: Sequence[str], *, port: int = 53, ready: asyncio.Event | None = None) -> None:
        """Serve until cancelled. Raises NetworkFailed when an address cannot be had."""
        loop = asyncio.get_running_loop()
        transports: list[asyncio.DatagramTransport] = []
        servers: list[asyncio.Server] = []
        async with Tasks("dns") as tasks:
            try:
                for address in addresses:
                    udp = self._sockets.get(f"dns-udp-{address}-{port}", partial(datagram, address, port))
                    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self, tasks), sock=udp)
                    transports.append(transport)
                    tcp = self._sockets.get(f"dns-tcp-{address}-{port}", partial(stream, address, port))
                    servers.append(await asyncio.start_server(self._serve_tcp, sock=tcp))
                if ready is not None:
                    ready.set()
                await asyncio.get_running_loop().create_future()
            except OSError as error:
                raise NetworkFailed(
                    f"cannot answer names on port {port} of {', '.join(addresses)}: {error}",
                    hint="another DNS server on this machine listens on every address; bind it to its own",
                ) from error
            finally:
                for transport in transports:
                    transport.close()
                for server in servers:
                    server.close()

    def at_once(self, question: DNSRecord) -> DNSRecord | None:
        """The answer, if nobody else must be asked."""
        reply = answer(question, self._zone)
        return None if reply is not None and alias_to_follow(reply, self._zone) else reply

    async def slowly(self, question: DNSRecord) -> DNSRecord:
        """The answer with what upstream says: to the question, or to the name where an ExternalName ends."""
        reply = answer(question, self._zone)
        if reply is None:
            return await self._upstream.ask(question)
        target = alias_to_follow(reply, self._zone)
        if target:
            further = DNSRecord.parse(question.pack())
            further.q.qname = target
            found = await self._upstream.ask(further)
            reply.header.rcode = found.header.rcode if found.header.rcode != RCODE.NXDOMAIN else RCODE.NOERROR
            reply.add_answer(*found.rr)
        return reply

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= limits.DNS_TCP_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            async with asyncio.timeout(limits.DNS_TCP_IDLE_SECONDS):
                while True:
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    question = parse_question(await reader.readexactly(size))
                    if question is None:
                        return
                    reply = self.at_once(question) or await self.slowly(question)
                    packed = sized(reply, question, over_udp=False)
                    writer.write(len(packed).to_bytes(2, "big") + packed)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            self._connections -= 1
            with suppress(OSError):
                writer.close()


class _Udp(asyncio.DatagramProtocol):
    """The datagram side of one address."""

    def __init__(self, server: DnsServer, tasks: Tasks) -> None:
        self._server, self._tasks = server, tasks
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transport is none by inheritance, only by what it can do.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = parse_question(data)
        if question is None:
            return
        if (reply := self._server.at_once(question)) is not None:
            self._send(reply, question, addr)
        else:
            self._tasks.spawn(self._later(question, addr), name="forward")

    async def _later(self, question: DNSRecord, addr: tuple[str, int]) -> None:
        # Anybody may ask anything: a question that cannot be dealt with has no answer, and takes nobody's away.
        await failure_of(self._forward(question, addr), name="forward")

    async def _forward(self, question: DNSRecord, addr: tuple[str, int]) -> None:
        self._send(await self._server.slowly(question), question, addr)

    def _send(self, reply: DNSRecord, question: DNSRecord, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(sized(reply, question, over_udp=True), addr)
