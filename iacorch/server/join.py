"""How a machine becomes a known node, and stays one: a certificate for its key.

In: who asks (the join token's holder, or the node itself when it renews) and `{"nodeName", "csr"}`. Out:
`{"certificate", "ca"}`. A node renews its own name. The token is good for names that no live node has: one that is not
there yet, or one whose agent has fallen silent, as that of a machine that was made anew. What was given out for a name
before is withdrawn, but for the certificate that a renewal comes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from iacorch.api import names, objects
from iacorch.api.catalogue import NODE
from iacorch.errors import BadRequest, Forbidden, NotFound, Unauthorized, Unavailable
from iacorch.kit.clock import Clock
from iacorch.server.identity.authn import JOINING
from iacorch.server.identity.pki import Pki
from iacorch.server.identity.signing import issued
from iacorch.server.registry import Registry
from iacorch.server.request import MASTERS, SYSTEM, Target, User

ASK_AGAIN_SECONDS: Final = 5


async def join(
    registry: Registry, pki: Pki, clock: Clock, user: User | None, body: Mapping[str, Any], *, serial: str = ""
) -> dict[str, str]:
    """`serial` is that of the certificate it is asked with. The CA's own certificate comes first in `ca`.

    Raises Unauthorized, Forbidden, BadRequest; Unavailable while the name is a live node's."""
    if user is None:
        raise Unauthorized("joining needs the join token")
    node_name, csr = body.get("nodeName"), body.get("csr")
    if not isinstance(node_name, str) or not isinstance(csr, str):
        raise BadRequest("the body must be an object with the texts nodeName and csr")
    if problems := names.dns_subdomain(node_name):
        raise BadRequest(f'nodeName: Invalid value: "{node_name}": {"; ".join(problems)}')
    if user != JOINING and MASTERS not in user.groups and user.node_name != node_name:
        raise Forbidden(f'{user.name} may not get a certificate for node "{node_name}"')
    if user == JOINING and await _is_alive(registry, node_name):
        raise Unavailable(
            f'node "{node_name}" exists and its agent is alive: the join token gives no certificate for it '
            "(delete the node, or choose another name; a node whose agent is gone can join again within seconds)",
            retry_after_seconds=ASK_AGAIN_SECONDS,
        )
    certificate = pki.sign_node(csr.encode(), node_name)
    await registry.certificates.add(node_name, issued(certificate), renews=serial, now=clock.now())
    return {"certificate": certificate.decode(), "ca": pki.trusted.decode()}


async def _is_alive(registry: Registry, node_name: str) -> bool:
    """A node that never was ready has nothing to lose; one that is lost is marked Unknown by the node controller."""
    try:
        stored = await registry.get(SYSTEM, Target(NODE, "", node_name))
    except NotFound:
        return False
    return objects.condition_is(stored.decode(), "Ready")
