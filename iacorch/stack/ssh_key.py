"""SshKey, as a stack program sees it."""

from __future__ import annotations

import pulumi


class SshKey(pulumi.CustomResource):
    """An ed25519 key pair, made once. The private key is a secret in the stack's state.

    Put `public_key` into the machines' `authorized_keys`, and `private_key` into their `Connection`:

        key = iac.SshKey("fleet")
        docker.Container("worker", uploads=[{"file": "/root/.ssh/authorized_keys", "content": key.public_key}], ...)
        iac.Node("worker", connection=iac.Connection(address, private_key=key.private_key), control_plane=cp)
    """

    def __init__(
        self, name: str, *, comment: pulumi.Input[str] | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """`comment` is the public key's comment, by default the resource's name; changing it makes a new key."""
        properties = {"comment": comment, "privateKey": None, "publicKey": None, "fingerprint": None}
        secret = pulumi.ResourceOptions(additional_secret_outputs=["privateKey"])
        super().__init__("iacorch:index:SshKey", name, properties, pulumi.ResourceOptions.merge(secret, opts))

    @property
    def private_key(self) -> pulumi.Output[str]:
        """The private key in OpenSSH's format, a secret."""
        return pulumi.get(self, "privateKey")  # type: ignore[no-any-return]

    @property
    def public_key(self) -> pulumi.Output[str]:
        """A line of `authorized_keys`."""
        return pulumi.get(self, "publicKey")  # type: ignore[no-any-return]

    @property
    def fingerprint(self) -> pulumi.Output[str]:
        """`SHA256:...`, as `ssh-keygen -l` prints it."""
        return pulumi.get(self, "fingerprint")  # type: ignore[no-any-return]
