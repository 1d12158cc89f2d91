"""The numbers and ranges that every node of a cluster must agree on, and the names of what we make on a node.

Who reads it: everything in this room. The daemon passes its own `Settings` where a cluster uses other ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from iacorch.api import networks

GATEWAY_LINK = "iac0"
"""Carries the gateway's and the cluster DNS' addresses."""
TUNNEL_LINK = "iacvx0"
POD_LINK_PREFIX = "iacp"
"""Host ends of pods' veth pairs: the prefix and a hash of the pod's UID."""
OUTSIDE_MARK = 0x1000000
"""The bit of a connection's mark that says: led by a Service through this node to an endpoint that is no pod."""
TABLE = "iacorch"
"""Our nftables table (family ip). Nobody else writes to it; we write to no other."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The cluster's ranges and the tunnel's numbers."""

    cluster_network: IPv4Network = networks.CLUSTER_NETWORK
    node_prefix: int = networks.NODE_PREFIX
    service_network: IPv4Network = networks.SERVICE_NETWORK
    dns_address: IPv4Address = networks.CLUSTER_DNS_ADDRESS
    cluster_domain: str = networks.CLUSTER_DOMAIN
    vxlan_id: int = 26
    vxlan_port: int = 8472
    """Linux's own default. Not IANA's 4789: Docker's overlay networks use that one on the same machines."""
