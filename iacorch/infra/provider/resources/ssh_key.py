"""SshKey: an ed25519 key pair, made once. The private key lives, as a secret, in the stack's state and nowhere else.

Nothing in the world belongs to it, so there is nothing to read or delete.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.provider.properties import Difference, Failure, Property, ResourceSpec
from iacorch.infra.provider.resource import Made, Properties, Request, name_of

SPEC = ResourceSpec(
    token="iacorch:index:SshKey",
    description="An ed25519 key pair, made once and kept in the state (the private key as a secret).",
    inputs=(
        Property("comment", "string", "The comment of the public key; by default the resource's name.", replaces=True),
    ),
    outputs=(
        Property("privateKey", "string", "The private key in OpenSSH's format.", secret=True),
        Property("publicKey", "string", "The public key as a line of authorized_keys."),
        Property("fingerprint", "string", "SHA256:..., as ssh-keygen -l prints it."),
    ),
    healthy={},
)


class SshKeys:
    """Implements `Resource`."""

    spec = SPEC

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        return {"comment": name_of(urn), **inputs}

    def check(self, inputs: Properties) -> Sequence[Failure]:
        if "\n" in str(inputs.get("comment", "")):
            return (Failure("comment", "must be one line"),)
        return ()

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        return False

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        return dict(state) or {p.name: UNKNOWN for p in SPEC.outputs}

    async def create(self, request: Request, inputs: Properties) -> Made:
        outputs = key_pair(Ed25519PrivateKey.generate(), str(inputs["comment"]))
        return Made(outputs["fingerprint"], outputs)

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        return Made(id, state)

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        return None

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        return Made(id, state)

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        return


def key_pair(key: Ed25519PrivateKey, comment: str) -> dict[str, str]:
    """The outputs for a key."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return {
        "privateKey": private.decode(),
        "publicKey": f"{public.decode()} {comment}".rstrip(),
        "fingerprint": "SHA256:" + base64.b64encode(digest).decode().rstrip("="),
    }
