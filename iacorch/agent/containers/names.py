"""A pod's /etc/hosts and /etc/resolv.conf: pure.

In: the pod, its address, the node's own resolv.conf, the cluster's DNS. Out: the files' texts. The worker writes them
and mounts them into every container. Source: Kubernetes documentation, "DNS for Services and Pods".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iacorch.agent.containers.specification import hostname_of
from iacorch.api.objects import Object

_SEARCHES: Final = 32
_NAMESERVERS: Final = 3


@dataclass(frozen=True, slots=True)
class ClusterDns:
    address: str
    domain: str


def resolv_conf(pod: Object, node_conf: str, dns: ClusterDns) -> str | None:
    """None: the node's own, as the runtime gives it (`dnsPolicy` Default, or the node's network with ClusterFirst)."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if spec.get("hostNetwork") and policy == "ClusterFirst":
        policy = "Default"
    config = spec.get("dnsConfig") or {}
    servers, searches, options = _parse(node_conf)
    if policy == "None":
        servers, searches, options = [], [], []
    elif policy != "Default":
        namespace, domain = pod["metadata"].get("namespace", "default"), dns.domain
        servers = [dns.address]
        searches = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *searches]
        options = ["ndots:5"]
    elif spec.get("hostNetwork") and not config:
        return None
    servers = list(dict.fromkeys([*servers, *(config.get("nameservers") or ())]))
    searches = list(dict.fromkeys([*searches, *(config.get("searches") or ())]))
    for option in config.get("options") or ():
        name, value = option["name"], option.get("value")
        options = [o for o in options if o.partition(":")[0] != name]
        options.append(f"{name}:{value}" if value is not None else name)
    lines = [f"nameserver {server}" for server in servers[:_NAMESERVERS]]
    if searches:
        lines.append("search " + " ".join(searches[:_SEARCHES]))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def _parse(text: str) -> tuple[list[str], list[str], list[str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search" | "domain", *names]:
                searches = [name for name in names if name != "."]
            case ["options", *words]:
                options = words
            case _:
                pass
    return servers, searches, options


def hosts_file(pod: Object, address: str, dns: ClusterDns) -> str:
    spec = pod["spec"]
    hostname = hostname_of(pod)
    names = hostname
    if subdomain := spec.get("subdomain"):
        names = f"{hostname}.{subdomain}.{pod['metadata']['namespace']}.svc.{dns.domain}\t{hostname}"
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        f"{address}\t{names}",
    ]
    lines += [f"{alias['ip']}\t{' '.join(alias.get('hostnames') or ())}" for alias in spec.get("hostAliases") or ()]
    return "\n".join(lines) + "\n"
