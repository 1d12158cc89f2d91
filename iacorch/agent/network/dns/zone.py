"""Services as DNS records: pure.

In: a Service and its EndpointSlices. Out: its records, by name; and `Zone`, all Services' records with the names
between them. `answer.py` reads a `Zone`, `node.py` keeps it in step. Source: the Kubernetes DNS specification,
version 1.1.0. Names are lower case, without the last dot, and complete (`web.default.svc.cluster.local`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any, NamedTuple

from iacorch.api.objects import Object, name, namespace, spec

SCHEMA_VERSION = "1.1.0"


class Record(NamedTuple):
    """One record's type and data. `A`: address; `CNAME`, `PTR`: name; `TXT`: text; `SRV`: name, with the port."""

    type: str
    data: str
    port: int = 0


Records = Mapping[str, tuple[Record, ...]]


def records_of(service: Object, slices: Iterable[Object], *, domain: str) -> dict[str, tuple[Record, ...]]:
    """All records of one Service; IPv4 only."""
    wanted = spec(service)
    own = f"{name(service)}.{namespace(service)}.svc.{domain}".lower()
    if wanted.get("type") == "ExternalName":
        return {own: (Record("CNAME", str(wanted.get("externalName", "")).rstrip(".").lower()),)}
    found: dict[str, list[Record]] = {own: []}
    if wanted.get("clusterIP") == "None":
        _headless(found, own, slices)
    else:
        _cluster_ip(found, own, wanted)
    return {key: tuple(dict.fromkeys(records)) for key, records in found.items()}


def _cluster_ip(found: dict[str, list[Record]], own: str, wanted: Mapping[str, Any]) -> None:
    for address in _ipv4(wanted.get("clusterIPs") or [wanted.get("clusterIP", "")]):
        found[own].append(Record("A", str(address)))
        found.setdefault(reverse_name(address), []).append(Record("PTR", own))
        for port in wanted.get("ports") or []:
            if label := port.get("name"):
                service_name = f"_{label}._{port.get('protocol', 'TCP')}.{own}".lower()
                found.setdefault(service_name, []).append(Record("SRV", own, port["port"]))


def _headless(found: dict[str, list[Record]], own: str, slices: Iterable[Object]) -> None:
    for part in slices:
        for entry in part.get("endpoints") or []:
            if (entry.get("conditions") or {}).get("ready", True) is False:
                continue
            for address in _ipv4(entry.get("addresses") or []):
                host = f"{entry.get('hostname') or str(address).replace('.', '-')}.{own}".lower()
                found[own].append(Record("A", str(address)))
                found.setdefault(host, []).append(Record("A", str(address)))
                if entry.get("hostname"):
                    found.setdefault(reverse_name(address), []).append(Record("PTR", host))
                for port in part.get("ports") or []:
                    if label := port.get("name"):
                        service_name = f"_{label}._{port.get('protocol', 'TCP')}.{own}".lower()
                        found.setdefault(service_name, []).append(Record("SRV", host, port.get("port") or 0))


def reverse_name(address: IPv4Address) -> str:
    return address.reverse_pointer


def _ipv4(texts: Iterable[str]) -> list[IPv4Address]:
    found = []
    for text in texts:
        try:
            found.append(IPv4Address(text))
        except AddressValueError:
            continue
    return found


class Zone:
    """Records of all Services. A name exists when it has records or lies above one that has."""

    def __init__(self, domain: str) -> None:
        self.domain = domain.lower()
        self.loaded = False
        """Whether an unknown name may be denied: False until Services were seen once or read from disk."""
        self._parts: dict[str, Records] = {}
        self._names: dict[str, dict[str, tuple[Record, ...]]] = {}
        self._above: Counter[str] = Counter()
        self.put("", {f"dns-version.{self.domain}": (Record("TXT", SCHEMA_VERSION),), f"svc.{self.domain}": ()})

    def put(self, owner: str, records: Records) -> None:
        """Replace the records of one owner (`namespace/name` of a Service); none: it is gone."""
        for key in self._parts.pop(owner, {}):
            del self._names[key][owner]
            if not self._names[key]:
                del self._names[key]
            self._above.subtract(_ancestors(key))
        if records:
            self._parts[owner] = dict(records)
        for key, values in records.items():
            self._names.setdefault(key, {})[owner] = values
            self._above.update(_ancestors(key))

    def parts(self) -> Mapping[str, Records]:
        """Owner -> its records: what is kept over a restart."""
        return self._parts

    def lookup(self, key: str) -> tuple[Record, ...] | None:
        """The records at a name; empty if the name only exists; None if it does not."""
        if (owners := self._names.get(key)) is not None:
            return tuple(record for records in owners.values() for record in records)
        return () if self._above.get(key, 0) > 0 else None

    def is_ours(self, key: str) -> bool:
        """Whether the name is in the cluster's domain."""
        return key == self.domain or key.endswith("." + self.domain)


def _ancestors(key: str) -> list[str]:
    labels = key.split(".")
    return [".".join(labels[n:]) for n in range(1, len(labels))]
