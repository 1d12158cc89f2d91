"""Rules of other people's tables that drop what pods send. Pure.

In: `nft -j list ruleset`. Out: a `Drop` for each rule, and each policy of a chain, that pods' packets may end in.
Called by `inspect`; `mend` takes them out once somebody agreed. A verdict `drop` is final wherever it is said, so no
rule of ours can let through what another table drops.

Hosts have firewalls of their own, so what is no matter of pods is left out: rules for other addresses and links, for
broken connections, for too many packets, and whatever has a condition that is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from typing import Any, Final

from iacorch.agent.network.settings import GATEWAY_LINK, POD_LINK_PREFIX, TABLE, TUNNEL_LINK, Settings

Statement = Mapping[str, Any]
_HOOKS: Final = frozenset({"forward", "prerouting", "postrouting"})
_FAMILIES: Final = frozenset({"ip", "inet"})
"""Pods have no other addresses than IPv4's."""
_LINKS: Final = (POD_LINK_PREFIX, TUNNEL_LINK, GATEWAY_LINK)
_DEFAULT: Final = Settings()
_DEPTH: Final = 16
"""nftables lets chains jump so deep."""


@dataclass(frozen=True, slots=True)
class Drop:
    """`handle` is 0 for a chain's policy."""

    family: str
    table: str
    chain: str
    handle: int
    words: str


@dataclass(slots=True)
class _Chain:
    base: Statement
    rules: list[Statement] = field(default_factory=list)


def drops(ruleset: Iterable[Mapping[str, Any]], settings: Settings = _DEFAULT) -> tuple[Drop, ...]:
    """In the order of the ruleset, our own table left out."""
    chains: dict[tuple[str, str, str], _Chain] = {}
    for entry in ruleset:
        if (chain := entry.get("chain")) is not None:
            chains[chain["family"], chain["table"], chain["name"]] = _Chain(chain)
        elif (rule := entry.get("rule")) is not None:
            found = chains.get((rule["family"], rule["table"], rule["chain"]))
            if found is not None:
                found.rules.append(rule)
    reader = _Reader(chains, (settings.cluster_network, settings.service_network))
    return tuple(dict.fromkeys(drop for key in chains for drop in reader.read(key)))


class _Reader:
    def __init__(self, chains: Mapping[tuple[str, str, str], _Chain], ranges: Sequence[IPv4Network]) -> None:
        self._chains, self._ranges = chains, ranges

    def read(self, key: tuple[str, str, str]) -> Iterator[Drop]:
        """Of one chain that packets enter by themselves."""
        family, table, name = key
        base = self._chains[key].base
        if family not in _FAMILIES or (family, table) == ("ip", TABLE) or base.get("hook") not in _HOOKS:
            return
        ends = list(self._ends(key, 0))
        for rule, verdict in ends:
            if verdict == "accept" and _is_for_everything(rule):
                return  # what comes after it is not reached
            if verdict != "accept":
                yield Drop(family, table, rule["chain"], int(rule.get("handle", 0)), _words(rule))
        if base.get("policy") == "drop" and not any(
            verdict == "accept" and _is_for_new(rule) for rule, verdict in ends
        ):
            yield Drop(family, table, name, 0, f"policy drop of hook {base['hook']}, and no rule lets pods through")

    def _ends(self, key: tuple[str, str, str], depth: int) -> Iterator[tuple[Statement, str]]:
        """Rules that pods' packets may end in, with how, in order; chains that are jumped to included."""
        if key not in self._chains or depth > _DEPTH:
            return
        for rule in self._chains[key].rules:
            statements = rule.get("expr") or ()
            if not all(self._may_be_pods(statement) for statement in statements):
                continue
            for statement in statements:
                match next(iter(statement), ""):
                    case "drop" | "reject":
                        yield rule, "drop"
                    case "accept":
                        yield rule, "accept"
                    case "jump" | "goto" as way:
                        yield from self._ends((*key[:2], statement[way]["target"]), depth + 1)

    def _may_be_pods(self, statement: Statement) -> bool:
        """Whether a statement lets pods' packets go on to the next one of its rule, as far as can be told."""
        kind = next(iter(statement), "")
        if kind != "match":
            return kind in ("counter", "log", "drop", "reject", "accept", "jump", "goto", "comment")
        said = statement["match"]
        left, right, same = said.get("left"), said.get("right"), said.get("op") in ("==", "in")
        match left:
            case {"payload": {"protocol": "ip", "field": "saddr" | "daddr"}}:
                touched = [self._overlap(value) for value in _values(right)]
                return any(found != "none" for found in touched) if same else "all" not in touched
            case {"meta": {"key": "iifname" | "oifname" | "iif" | "oif"}}:
                return any(map(_is_link, _values(right))) is same
            case {"meta": {"key": "nfproto"}}:
                return ("ipv6" not in _values(right)) is same
            case {"meta": {"key": "l4proto"}} | {"payload": {"protocol": "tcp" | "udp" | "th"}}:
                return True
            case {"payload": {"protocol": "ip", "field": "protocol"}}:
                return True
            case {"ct": {"key": "state"}}:
                return bool({"new", "established"} & set(_values(right))) is same
        return False

    def _overlap(self, value: Any) -> str:
        """How much of pods' and Services' addresses this is: `none`, `some`, or `all` of one range."""
        found = "none"
        for network in _networks(value):
            for ours in self._ranges:
                if ours.subnet_of(network):
                    return "all"
                if network.subnet_of(ours):
                    found = "some"
        return found


def _is_for_everything(rule: Statement) -> bool:
    return not any("match" in statement for statement in rule.get("expr") or ())


def _is_for_new(rule: Statement) -> bool:
    """Whether connections may begin by it; to let through what is established is not enough."""
    states = [s["match"] for s in rule.get("expr") or () if "match" in s and "ct" in s["match"]["left"]]
    return all(("new" in _values(said["right"])) is (said["op"] in ("==", "in")) for said in states)


def _values(right: Any) -> list[Any]:
    """What a match compares with, one by one; a set by name says nothing here."""
    if isinstance(right, list):
        return right
    if isinstance(right, Mapping) and "set" in right:
        return list(right["set"])
    return [right]


def _networks(value: Any) -> list[IPv4Network]:
    try:
        match value:
            case str():
                return [IPv4Network(value)]
            case {"prefix": {"addr": address, "len": length}}:
                return [IPv4Network(f"{address}/{length}", strict=False)]
            case {"range": [first, last]}:
                return list(summarize_address_range(IPv4Address(first), IPv4Address(last)))
    except ValueError:
        pass
    return []


def _is_link(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    stem = value.removesuffix("*")
    return any(value.startswith(link) or (stem != value and link.startswith(stem)) for link in _LINKS)


def _words(rule: Statement) -> str:
    """The rule, nearly as nft writes it."""
    parts = []
    for statement in rule.get("expr") or ():
        kind = next(iter(statement))
        if kind == "match":
            said = statement["match"]
            (left,) = said["left"].values()
            name = left.get("key") or f"{left.get('protocol')} {left.get('field')}"
            sign = "" if said["op"] in ("==", "in") else f"{said['op']} "
            parts.append(f"{name} {sign}{', '.join(map(_text, _values(said['right'])))}")
        elif kind not in ("counter", "comment"):
            parts.append(kind)
    return " ".join(parts)


def _text(value: Any) -> str:
    match value:
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"range": [first, last]}:
            return f"{first}-{last}"
    return str(value)
