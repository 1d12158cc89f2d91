"""Connection, ControlPlane and Node, as a stack program sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi


@dataclass(frozen=True, slots=True)
class Connection:
    """How a machine is reached by SSH: as root, or as a user with sudo that asks no password.

    iac.Connection("203.0.113.7", user="debian", private_key=key.private_key)
    """

    host: pulumi.Input[str]
    private_key: pulumi.Input[str] = field(repr=False, kw_only=True)
    port: pulumi.Input[int] = field(default=22, kw_only=True)
    user: pulumi.Input[str] = field(default="root", kw_only=True)

    def properties(self) -> dict[str, Any]:
        """As the provider knows it."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "privateKey": pulumi.Output.secret(self.private_key),
        }


_SEEN = ("hostKeys", "os", "reachable", "serviceActive", "bundle", "address")


class ControlPlane(pulumi.CustomResource):
    """A machine running `iacorchd`: the API, the controllers and the scheduler.

    cp = iac.ControlPlane("cp", connection=iac.Connection("10.0.0.1", private_key=key.private_key))
    pulumi.export("kubeconfig", cp.kubeconfig)
    """

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        machine_id: pulumi.Input[str] | None = None,
        port: pulumi.Input[int] = 6443,
        advertise: pulumi.Input[str] | None = None,
        endpoint: pulumi.Input[str] | None = None,
        tls_sans: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        `machine_id` tells this machine from another at the same address (pass a container's or instance's ID): another
        machine is a replacement. `advertise` is HOST:PORT as nodes reach the API, by default the connection's host and
        `port`; `endpoint` is HOST:PORT as people and this program reach it, by default the same. `tls_sans` are further
        names in its certificate.
        """
        properties: dict[str, Any] = {
            "connection": connection.properties(),
            "machineId": machine_id,
            "port": port,
            "advertise": advertise,
            "endpoint": endpoint,
            "tlsSans": tls_sans,
            **dict.fromkeys((*_SEEN, "server", "apiEndpoint", "caCert", "kubeconfig", "joinToken")),
        }
        secret = pulumi.ResourceOptions(additional_secret_outputs=["kubeconfig", "joinToken"])
        super().__init__("iacorch:index:ControlPlane", name, properties, pulumi.ResourceOptions.merge(secret, opts))

    @property
    def api_endpoint(self) -> pulumi.Output[str]:
        """URL of the API as people reach it."""
        return pulumi.get(self, "apiEndpoint")  # type: ignore[no-any-return]

    @property
    def server(self) -> pulumi.Output[str]:
        """URL of the API as nodes reach it."""
        return pulumi.get(self, "server")  # type: ignore[no-any-return]

    @property
    def address(self) -> pulumi.Output[str]:
        """The address under which nodes reach the API."""
        return pulumi.get(self, "address")  # type: ignore[no-any-return]

    @property
    def ca_cert(self) -> pulumi.Output[str]:
        """The CA of the API (PEM)."""
        return pulumi.get(self, "caCert")  # type: ignore[no-any-return]

    @property
    def kubeconfig(self) -> pulumi.Output[str]:
        """The administrator's kubeconfig, a secret."""
        return pulumi.get(self, "kubeconfig")  # type: ignore[no-any-return]

    @property
    def join_token(self) -> pulumi.Output[str]:
        """Lets machines join, a secret."""
        return pulumi.get(self, "joinToken")  # type: ignore[no-any-return]

    @property
    def joining(self) -> pulumi.Output[Mapping[str, str]]:
        """What other stacks need for nodes of this control plane (`Joining`), a secret."""
        return pulumi.Output.secret(
            pulumi.Output.all(
                server=self.server, ca_cert=self.ca_cert, join_token=self.join_token, kubeconfig=self.kubeconfig
            )
        )

    @property
    def reachable(self) -> pulumi.Output[bool]:
        """Whether the machine could be reached when it was last looked at."""
        return pulumi.get(self, "reachable")  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Joining:
    """What a node needs to join a control plane that another stack made: that one's output `joining`."""

    server: pulumi.Input[str]
    ca_cert: pulumi.Input[str]
    join_token: pulumi.Input[str] = field(repr=False)
    kubeconfig: pulumi.Input[str] = field(repr=False)


class Node(pulumi.CustomResource):
    """A machine as a node of the fleet: made ready by bootstrap, joined, Ready.

        iac.Node(
            "worker-1",
            connection=iac.Connection("10.0.0.2", private_key=key.private_key),
            control_plane=cp,
            labels={"disk": "ssd"},
            taints=["gpu=yes:NoSchedule"],
        )

    Destroying it drains the node, takes the agent off the machine and removes the Node object.
    """

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        control_plane: ControlPlane | Joining,
        node_name: pulumi.Input[str] | None = None,
        machine_id: pulumi.Input[str] | None = None,
        node_ip: pulumi.Input[str] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        taints: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        `node_name` is by default the resource's name. `machine_id` tells this machine from another at the same address
        (pass a container's or instance's ID): another machine is a replacement. `node_ip` is the address other nodes
        reach it at, by default found out. A taint is KEY=VALUE:EFFECT.
        """
        properties: dict[str, Any] = {
            "connection": connection.properties(),
            "nodeName": node_name,
            "machineId": machine_id,
            "nodeIp": node_ip,
            "labels": labels,
            "taints": taints,
            "server": control_plane.server,
            "caCert": control_plane.ca_cert,
            "joinToken": control_plane.join_token,
            "kubeconfig": control_plane.kubeconfig,
            **dict.fromkeys((*_SEEN, "ready", "version")),
        }
        super().__init__("iacorch:index:Node", name, properties, opts)

    @property
    def node_name(self) -> pulumi.Output[str]:
        """The name of the Node object."""
        return pulumi.get(self, "nodeName")  # type: ignore[no-any-return]

    @property
    def address(self) -> pulumi.Output[str]:
        """The address other nodes reach it at."""
        return pulumi.get(self, "address")  # type: ignore[no-any-return]

    @property
    def ready(self) -> pulumi.Output[bool]:
        """Whether the Node object was Ready when it was last looked at."""
        return pulumi.get(self, "ready")  # type: ignore[no-any-return]

    @property
    def version(self) -> pulumi.Output[str]:
        """The agent's version."""
        return pulumi.get(self, "version")  # type: ignore[no-any-return]

    @property
    def reachable(self) -> pulumi.Output[bool]:
        """Whether the machine could be reached when it was last looked at."""
        return pulumi.get(self, "reachable")  # type: ignore[no-any-return]
