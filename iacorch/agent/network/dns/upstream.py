"""Names outside the cluster: ask the node's own resolvers, remember for a while.

In: a question, the node's resolv.conf. Out: the upstream's answer under the question's number, or SERVFAIL. Called by
`server.py`. Bounded everywhere: questions under way, patience with each server, entries and time in the cache.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from dnslib import RCODE, SOA, DNSError, DNSQuestion, DNSRecord

from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

NEGATIVE_SECONDS = 30.0
MAX_REPLY_BYTES = 4_096


def servers_in(resolv_conf: str, *, ours: IPv4Address) -> tuple[str, ...]:
    """The IPv4 nameservers in a resolv.conf's text, in order, without ourselves."""
    found = []
    for line in resolv_conf.splitlines():
        match line.split():
            case ["nameserver", text, *_]:
                try:
                    address = IPv4Address(text)
                except AddressValueError:
                    continue
                if address != ours:
                    found.append(str(address))
    return tuple(found)


def lifetime_seconds(reply: DNSRecord) -> float:
    """How long an answer may be kept; 0: not at all."""
    if reply.header.rcode not in (RCODE.NOERROR, RCODE.NXDOMAIN) or reply.header.tc:
        return 0.0
    if reply.rr:
        return min(limits.DNS_CACHE_MAX_SECONDS, *(float(record.ttl) for record in reply.rr))
    ends = [min(float(r.ttl), float(r.rdata.times[4])) for r in reply.auth if isinstance(r.rdata, SOA)]
    return min(NEGATIVE_SECONDS, *ends) if ends else 0.0


@dataclass(frozen=True, slots=True)
class _Kept:
    packed: bytes
    since: float
    until: float


class Upstream:
    """Asks each server in turn until one answers."""

    def __init__(self, servers: Callable[[], Sequence[str]], *, clock: Clock, ids: Ids, port: int = 53) -> None:
        self._servers, self._clock, self._ids, self._port = servers, clock, ids, port
        self._cache: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        self._under_way = 0

    async def ask(self, question: DNSRecord) -> DNSRecord:
        """Never raises for what upstream does or fails to do: the client gets SERVFAIL."""
        key = (str(question.q.qname).lower(), int(question.q.qtype))
        if (reply := self._remembered(key)) is None:
            reply = await self._fetch(question)
            if (seconds := lifetime_seconds(reply)) > 0:
                now = self._clock.monotonic()
                self._cache[key] = _Kept(bytes(reply.pack()), now, now + seconds)
                self._cache.move_to_end(key)
                while len(self._cache) > limits.DNS_CACHE_ENTRIES:
                    self._cache.popitem(last=False)
        reply.header.id = question.header.id
        # The name is spelt as this client spelt it: some check.
        reply.questions = question.questions
        return reply

    def _remembered(self, key: tuple[str, int]) -> DNSRecord | None:
        kept = self._cache.get(key)
        if kept is None:
            return None
        now = self._clock.monotonic()
        if now >= kept.until:
            del self._cache[key]
            return None
        reply = DNSRecord.parse(kept.packed)
        for record in (*reply.rr, *reply.auth):
            record.ttl = max(0, int(record.ttl - (now - kept.since)))
        return reply

    async def _fetch(self, question: DNSRecord) -> DNSRecord:
        failed = question.reply(ra=1, aa=0)
        failed.header.rcode = RCODE.SERVFAIL
        if self._under_way >= limits.DNS_FORWARDS:
            return failed
        self._under_way += 1
        try:
            for server in self._servers():
                # By its number: a type without a name is a question as well (RFC 3597).
                query = DNSRecord(q=DNSQuestion(question.q.qname, question.q.qtype))
                # A number of our own and a fresh port for each question make answers hard to forge.
                query.header.id = int.from_bytes(self._ids.token(2), "big")
                try:
                    async with asyncio.timeout(limits.DNS_UPSTREAM_SECONDS):
                        reply = await self._exchange(server, query)
                except (OSError, TimeoutError, DNSError, ValueError, asyncio.IncompleteReadError):
                    continue
                if reply.header.rcode not in (RCODE.SERVFAIL, RCODE.REFUSED):
                    return reply
            return failed
        finally:
            self._under_way -= 1

    async def _exchange(self, server: str, query: DNSRecord) -> DNSRecord:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as link:
            await loop.sock_connect(link, (server, self._port))
            await loop.sock_sendall(link, query.pack())
            while True:
                reply = DNSRecord.parse(await loop.sock_recv(link, MAX_REPLY_BYTES))
                if reply.header.id == query.header.id and reply.q == query.q:
                    break
        return await self._exchange_tcp(server, query) if reply.header.tc else reply

    async def _exchange_tcp(self, server: str, query: DNSRecord) -> DNSRecord:
        reader, writer = await asyncio.open_connection(server, self._port)
        try:
            packed = query.pack()
            writer.write(len(packed).to_bytes(2, "big") + packed)
            size = int.from_bytes(await reader.readexactly(2), "big")
            return DNSRecord.parse(await reader.readexactly(size))
        finally:
            writer.close()


class NodeResolvers:
    """The nameservers in the node's resolv.conf, read again when the file changed."""

    def __init__(self, path: Path, *, ours: IPv4Address) -> None:
        self._path, self._ours = path, ours
        self._read_at: tuple[int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        try:
            found = self._path.stat()
            if (found.st_mtime_ns, found.st_ino) != self._read_at:
                self._servers = servers_in(self._path.read_text(), ours=self._ours)
                self._read_at = (found.st_mtime_ns, found.st_ino)
        except OSError:
            return self._servers
        return self._servers
