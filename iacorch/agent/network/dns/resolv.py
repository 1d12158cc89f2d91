"""A pod's resolv.conf: pure.

In: the pod (its namespace, `dnsPolicy`, `dnsConfig`), the node's resolv.conf. Out: the text. Called by the pod worker
when it makes a sandbox. Source: "DNS for Services and Pods" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from iacorch.agent.network.contract import CLUSTER_DNS_ADDRESS, CLUSTER_DOMAIN
from iacorch.api.objects import Object, namespace, spec

MAX_NAMESERVERS = 3
MAX_SEARCH_DOMAINS = 32


def resolv_conf(
    pod: Object, node_resolv_conf: str, *, dns_address: str = CLUSTER_DNS_ADDRESS, domain: str = CLUSTER_DOMAIN
) -> str:
    """The text of /etc/resolv.conf for every container of the pod."""
    wanted = spec(pod)
    policy = wanted.get("dnsPolicy", "ClusterFirst")
    servers, search, options = _parse(node_resolv_conf)
    if policy == "None":
        servers, search, options = [], [], {}
    elif policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not wanted.get("hostNetwork")):
        servers = [dns_address]
        search = [f"{namespace(pod)}.svc.{domain}", f"svc.{domain}", domain, *search]
        options = {"ndots": "5"}
    extra: Mapping[str, Any] = wanted.get("dnsConfig") or {}
    servers += extra.get("nameservers") or []
    search += extra.get("searches") or []
    options |= {str(o["name"]): str(o.get("value") or "") for o in extra.get("options") or []}
    return _text(servers, search, options)


def _parse(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    servers: list[str] = []
    search: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                servers.append(address)
            case ["search" | "domain", *domains]:
                search = domains
            case ["options", *words]:
                options |= {name: value for name, _, value in (word.partition(":") for word in words)}
    return servers, search, options


def _text(servers: Sequence[str], search: Sequence[str], options: Mapping[str, str]) -> str:
    lines = [f"nameserver {address}" for address in list(dict.fromkeys(servers))[:MAX_NAMESERVERS]]
    if search:
        lines.append("search " + " ".join(list(dict.fromkeys(search))[:MAX_SEARCH_DOMAINS]))
    if options:
        lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in options.items()))
    return "".join(f"{line}\n" for line in lines)
