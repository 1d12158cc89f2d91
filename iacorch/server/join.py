"""How a machine becomes a known node, and stays one: a certificate for its key.

In: who asks (the join token's holder, or the node itself when it renews) and `{"nodeName", "csr"}`. Out:
`{"certificate", "ca"}`. A node can only renew its own name; the token can ask for any name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iacorch.api import names
from iacorch.errors import BadRequest, Forbidden, Unauthorized
from iacorch.server.authn import JOINING
from iacorch.server.pki import Pki
from iacorch.server.request import MASTERS, User


def join(pki: Pki, user: User | None, body: Mapping[str, Any]) -> dict[str, str]:
    """Raises Unauthorized, Forbidden, BadRequest."""
    if user is None:
        raise Unauthorized("joining needs the join token")
    node_name, csr = body.get("nodeName"), body.get("csr")
    if not isinstance(node_name, str) or not isinstance(csr, str):
        raise BadRequest("the body must be an object with the texts nodeName and csr")
    if problems := names.dns_subdomain(node_name):
        raise BadRequest(f'nodeName: Invalid value: "{node_name}": {"; ".join(problems)}')
    if user != JOINING and MASTERS not in user.groups and user.node_name != node_name:
        raise Forbidden(f'{user.name} may not get a certificate for node "{node_name}"')
    certificate = pki.sign_node(csr.encode(), node_name)
    return {"certificate": certificate.decode(), "ca": pki.ca.certificate.decode()}
