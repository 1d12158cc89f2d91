"""Answers about the cluster's names: pure.

In: a parsed question and a `Zone`. Out: the answer, or None when the question is about somebody else's names and goes
upstream. Called by `server.py`. A name that exists but has no record of the asked type is answered with nothing and
success (never "no such name"), because resolvers ask A and AAAA together and would give up on the other.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from dnslib import CNAME, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSRecord

from iacorch.agent.network.dns.zone import Record, Zone

TTL_SECONDS = 5
"""As in Kubernetes' own DNS: short, because endpoints of headless Services come and go."""
CNAME_CHAIN = 8
PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 1232
"""Larger answers over UDP may be cut on the way; the client asks again over TCP."""


def answer(question: DNSRecord, zone: Zone) -> DNSRecord | None:
    """The answer to one question, or None: ask upstream."""
    asked = str(question.q.qname).rstrip(".").lower()
    kind = QTYPE.get(question.q.qtype)
    reply = question.reply(ra=1, aa=1)
    if asked.endswith(".in-addr.arpa"):
        records = zone.lookup(asked)
        if records is None or not any(record.type == "PTR" for record in records):
            return None
    elif not zone.is_ours(asked):
        return None
    else:
        records = zone.lookup(asked)
        if records is None:
            records = _pod_record(asked, zone.domain)
    if records is None:
        reply.header.rcode = RCODE.NXDOMAIN if zone.loaded else RCODE.SERVFAIL
        reply.header.aa = int(zone.loaded)
    else:
        _fill(reply, asked, str(kind), records, zone)
    if not reply.rr and reply.header.rcode in (RCODE.NOERROR, RCODE.NXDOMAIN):
        reply.add_auth(_authority(zone.domain))
    return reply


def alias_to_follow(reply: DNSRecord, zone: Zone) -> str:
    """The name outside the cluster's domain at which an ExternalName Service's answer ends; "" where it does not."""
    last = reply.rr[-1] if reply.rr else None
    if last is None or last.rtype != QTYPE.CNAME or reply.q.qtype in (QTYPE.CNAME, QTYPE.ANY):
        return ""
    target = str(last.rdata.label).rstrip(".").lower()
    return "" if zone.is_ours(target) else target


def sized(reply: DNSRecord, question: DNSRecord, *, over_udp: bool) -> bytes:
    """The answer's bytes; over UDP cut to what the client takes, with the mark that makes it ask again over TCP."""
    packed = bytes(reply.pack())
    if not over_udp:
        return packed
    offered = [extra.rclass for extra in question.ar if extra.rtype == QTYPE.OPT]
    limit = min(max([PLAIN_UDP_BYTES, *offered]), MAX_UDP_BYTES)
    return packed if len(packed) <= limit else bytes(reply.truncate().pack())


def _fill(reply: DNSRecord, asked: str, kind: str, records: tuple[Record, ...], zone: Zone) -> None:
    owner = asked
    for _ in range(CNAME_CHAIN):
        chosen = [record for record in records if record.type == kind or kind == "ANY"]
        alias = next((record for record in records if record.type == "CNAME"), None)
        if chosen or alias is None:
            break
        reply.add_answer(_resource(owner, alias))
        owner = alias.data
        records = zone.lookup(owner) or ()
    # Every answer begins elsewhere, so that clients that take the first address spread.
    start = reply.header.id % len(chosen) if chosen else 0
    for record in chosen[start:] + chosen[:start]:
        reply.add_answer(_resource(owner, record))
        if record.type == "SRV":
            for address in zone.lookup(record.data) or ():
                if address.type == "A":
                    reply.add_ar(_resource(record.data, address))


def _resource(owner: str, record: Record) -> RR:
    match record.type:
        case "A":
            data = A(record.data)
        case "SRV":
            data = SRV(0, 100, record.port, record.data)
        case "PTR":
            data = PTR(record.data)
        case "CNAME":
            data = CNAME(record.data)
        case _:
            data = TXT(record.data)
    return RR(owner, getattr(QTYPE, record.type), rdata=data, ttl=TTL_SECONDS)


def _pod_record(asked: str, domain: str) -> tuple[Record, ...] | None:
    """`10-244-1-7.NAMESPACE.pod.DOMAIN` is that address by definition, whether or not a pod has it."""
    labels = asked.removesuffix("." + domain).split(".")
    if labels[-1] != "pod" or asked == domain:
        return None
    if len(labels) < 3:
        return ()
    try:
        return (Record("A", str(IPv4Address(labels[0].replace("-", ".")))),) if len(labels) == 3 else None
    except AddressValueError:
        return None


def _authority(domain: str) -> RR:
    times = (1, 7200, 1800, 86400, TTL_SECONDS)
    return RR(domain, QTYPE.SOA, ttl=TTL_SECONDS, rdata=SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times))
