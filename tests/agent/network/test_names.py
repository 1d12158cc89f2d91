from __future__ import annotations

from typing import Any

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from iacorch.agent.network.dns.answer import answer, sized
from iacorch.agent.network.dns.server import parse_question
from iacorch.agent.network.dns.upstream import lifetime_seconds, servers_in
from iacorch.agent.network.dns.zone import Zone, records_of
from iacorch.api.networks import CLUSTER_DNS_ADDRESS as DNS_ADDRESS
from tests.agent.network.builders import service, slice_of

DOMAIN = "cluster.local"
WEB = service("web", "10.96.1.1")
DB = service("db", "None")
DB_SLICE = slice_of("db", ("10.244.1.5", "node-1"), ("10.244.2.6", "node-2"))
DB_SLICE["endpoints"][0]["hostname"] = "db-0"
ELSEWHERE = {
    "metadata": {"namespace": "default", "name": "out"},
    "spec": {"type": "ExternalName", "externalName": "Example.com."},
}


def zone(*services: tuple[dict[str, Any], list[dict[str, Any]]]) -> Zone:
    built = Zone(DOMAIN)
    built.loaded = True
    for obj, slices in services:
        built.put(f"default/{obj['metadata']['name']}", records_of(obj, slices, domain=DOMAIN))
    return built


ALL = zone((WEB, [slice_of("web", ("10.244.1.7", "node-1"))]), (DB, [DB_SLICE]), (ELSEWHERE, []))


def ask(name: str, kind: str = "A", *, of: Zone = ALL) -> tuple[str, list[str]] | None:
    question = DNSRecord.question(name, kind)
    question.header.id = 0
    reply = answer(question, of)
    if reply is None:
        return None
    reply = DNSRecord.parse(reply.pack())
    return str(RCODE.get(reply.header.rcode)), [str(record.rdata) for record in reply.rr]


@pytest.mark.parametrize(
    ("name", "kind", "wanted"),
    [
        pytest.param("web.default.svc.cluster.local", "A", ["10.96.1.1"], id="service"),
        pytest.param("WEB.Default.svc.CLUSTER.local", "A", ["10.96.1.1"], id="any-case"),
        pytest.param(
            "_tcp._tcp.web.default.svc.cluster.local", "SRV", ["0 100 80 web.default.svc.cluster.local."], id="srv"
        ),
        pytest.param("1.1.96.10.in-addr.arpa", "PTR", ["web.default.svc.cluster.local."], id="ptr"),
        pytest.param("db.default.svc.cluster.local", "A", ["10.244.1.5", "10.244.2.6"], id="headless"),
        pytest.param("db-0.db.default.svc.cluster.local", "A", ["10.244.1.5"], id="hostname"),
        pytest.param("10-244-2-6.db.default.svc.cluster.local", "A", ["10.244.2.6"], id="endpoint-without-hostname"),
        pytest.param(
            "_udp._udp.db.default.svc.cluster.local",
            "SRV",
            ["0 100 8080 db-0.db.default.svc.cluster.local.", "0 100 8080 10-244-2-6.db.default.svc.cluster.local."],
            id="headless-srv",
        ),
        pytest.param("5.1.244.10.in-addr.arpa", "PTR", ["db-0.db.default.svc.cluster.local."], id="endpoint-ptr"),
        pytest.param("out.default.svc.cluster.local", "CNAME", ["example.com."], id="external-name"),
        pytest.param("10-244-9-9.default.pod.cluster.local", "A", ["10.244.9.9"], id="pod-by-address"),
        pytest.param("dns-version.cluster.local", "TXT", ['"1.1.0"'], id="schema-version"),
        pytest.param("web.default.svc.cluster.local", "AAAA", [], id="no-ipv6-but-the-name-exists"),
        pytest.param("default.svc.cluster.local", "A", [], id="a-namespace-exists"),
        pytest.param("_tcp.web.default.svc.cluster.local", "A", [], id="names-between-exist"),
        pytest.param("cluster.local", "A", [], id="the-domain-exists"),
    ],
)
def test_names_of_the_cluster(name: str, kind: str, wanted: list[str]) -> None:
    assert ask(name, kind) == ("NOERROR", wanted)


@pytest.mark.parametrize(
    "name", ["gone.default.svc.cluster.local", "web.other.svc.cluster.local", "example.com.default.svc.cluster.local"]
)
def test_what_does_not_exist_is_denied_with_an_authority_so_that_it_can_be_remembered(name: str) -> None:
    reply = answer(DNSRecord.question(name), ALL)
    assert reply is not None
    assert (reply.header.rcode, [r.rtype for r in reply.auth]) == (RCODE.NXDOMAIN, [QTYPE.SOA])


@pytest.mark.parametrize("name", ["example.com", "notcluster.local", "9.9.9.9.in-addr.arpa"])
def test_other_names_are_not_ours(name: str) -> None:
    assert ask(name, "PTR" if "arpa" in name else "A") is None


def test_before_services_are_known_nothing_is_denied() -> None:
    assert ask("web.default.svc.cluster.local", of=Zone(DOMAIN)) == ("SERVFAIL", [])


def test_endpoints_that_are_not_ready_have_no_names() -> None:
    parts = [slice_of("db", ("10.244.1.5", "node-1"), ready=False)]
    assert ask("db.default.svc.cluster.local", of=zone((DB, parts))) == ("NOERROR", [])


def test_a_removed_service_leaves_no_name_behind() -> None:
    built = zone((WEB, []))
    built.put("default/web", {})
    assert ask("web.default.svc.cluster.local", of=built) == ("NXDOMAIN", [])
    assert ask("default.svc.cluster.local", of=built) == ("NXDOMAIN", [])


def test_two_services_may_share_an_endpoints_reverse_name() -> None:
    other = service("db2", "None")
    part = slice_of("db2", ("10.244.1.5", "node-1"))
    part["endpoints"][0]["hostname"] = "db-0"
    built = zone((DB, [DB_SLICE]), (other, [part]))
    built.put("default/db", {})
    assert ask("5.1.244.10.in-addr.arpa", "PTR", of=built) == ("NOERROR", ["db-0.db2.default.svc.cluster.local."])


def test_a_large_answer_is_cut_over_udp_and_whole_over_tcp() -> None:
    endpoints = [(f"10.244.1.{n}", "node-1") for n in range(2, 202)]
    question = DNSRecord.question("db.default.svc.cluster.local")
    reply = answer(question, zone((DB, [slice_of("db", *endpoints)])))
    assert reply is not None
    cut = DNSRecord.parse(sized(reply, question, over_udp=True))
    assert (cut.header.tc, len(cut.rr)) == (1, 0)
    assert len(DNSRecord.parse(sized(reply, question, over_udp=False)).rr) == 200


def test_clients_with_different_numbers_get_different_first_addresses() -> None:
    firsts = set()
    for number in range(2):
        question = DNSRecord.question("db.default.svc.cluster.local")
        question.header.id = number
        reply = answer(question, ALL)
        assert reply is not None
        firsts.add(str(reply.rr[0].rdata))
    assert firsts == {"10.244.1.5", "10.244.2.6"}


@given(st.binary(max_size=300))
def test_no_packet_breaks_the_reader(packet: bytes) -> None:
    question = parse_question(packet)
    if question is not None and (reply := answer(question, ALL)) is not None:
        sized(reply, question, over_udp=True)


@given(st.binary(max_size=60), st.integers(0, 65535))
def test_no_question_breaks_the_answer(name: bytes, kind: int) -> None:
    packet = (
        b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes([len(name)]) * bool(name) + name + b"\0" + kind.to_bytes(2, "big") + b"\0\1"
    )
    question = parse_question(packet)
    if question is not None and (reply := answer(question, ALL)) is not None:
        sized(reply, question, over_udp=True)


def test_the_nodes_resolvers_without_ourselves() -> None:
    text = "# ours\nnameserver 10.96.0.10\nnameserver 192.0.2.1\nnameserver fe80::1\nsearch x\nnameserver 192.0.2.2\n"
    assert servers_in(text, ours=DNS_ADDRESS) == ("192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("example.com. 60 IN A 192.0.2.1", 60, id="its-ttl"),
        pytest.param("example.com. 86400 IN A 192.0.2.1", 300, id="bounded"),
    ],
)
def test_how_long_an_answer_is_kept(text: str, seconds: float) -> None:
    from dnslib import RR

    reply = DNSRecord.question("example.com").reply()
    reply.add_answer(*RR.fromZone(text))
    assert lifetime_seconds(reply) == seconds
