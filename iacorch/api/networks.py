"""The ranges that every part of a cluster must agree on: pods' and Services' addresses, the DNS' address.

Who reads it: admission gives Services their addresses, the controllers give nodes their ranges, and the agents route,
refuse and answer names by them. What an agent reports is measured by them as well.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Final

CLUSTER_NETWORK: Final = IPv4Network("10.244.0.0/16")
"""All nodes' pod ranges are in it."""
NODE_PREFIX: Final = 24
"""How long the prefix of one node's range is."""
SERVICE_NETWORK: Final = IPv4Network("10.96.0.0/16")
"""Cluster addresses of Services come from here, and nothing else is here."""
CLUSTER_DNS_ADDRESS: Final = IPv4Address("10.96.0.10")
"""Every node answers the cluster's names here itself."""
CLUSTER_DOMAIN: Final = "cluster.local"
