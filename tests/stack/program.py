"""A small fleet against Pulumi's own mocks; prints what was registered as JSON. Run by test_resources.

A process of its own, because Pulumi's SDK keeps its event loop and its stack in the process.
"""

import asyncio
import json
import sys
from typing import Any

from pulumi.runtime import mocks

import iacorch.stack as iac


class Recorded(mocks.Mocks):
    """Remembers registrations, answers with outputs named after the resource."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.seen[args.name] = {"type": args.typ, "inputs": args.inputs}
        outputs = ("kubeconfig", "caCert", "joinToken", "server", "privateKey")
        return f"{args.name}-id", {**args.inputs, **{name: f"{args.name}-{name}" for name in outputs}}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


async def main() -> None:
    recorded = Recorded()
    mocks.set_mocks(recorded)
    key = iac.SshKey("fleet")
    cp = iac.ControlPlane("cp", connection=iac.Connection("10.0.0.1", private_key=key.private_key), machine_id="m1")
    node = iac.Node(
        "w1",
        connection=iac.Connection("10.0.0.2", user="debian", port=2222, private_key=key.private_key),
        control_plane=cp,
        labels={"my_label/x_y": "a"},
    )
    vm = iac.VirtualMachine(
        "vm", driver="aws", settings={"endpoint_url": "x"}, instance_type="m7i.large", ssh_public_key=key.public_key
    )
    iac.Node("w2", connection=vm.connection(key.private_key), machine_id=vm.id, control_plane=cp)
    burst = iac.MachineClass("burst", control_plane=cp, driver="aws", class_name="rented", capacity_types=["spot"])
    pool = iac.NodePool("pool", control_plane=cp, machine_class=burst, limits={"moneyPerHour": "1"})
    cluster = iac.Cluster(
        "other",
        control_plane=iac.Connection("10.0.0.3", private_key=key.private_key),
        nodes={"w3": vm},
        private_key=key.private_key,
        labels={"w3": {"a": "b"}},
    )
    app = iac.Manifest("app", control_plane=cp, objects=[{"kind": "ConfigMap", "data": {"snake_case": "kept"}}])
    for resource in (node, vm, app, pool, cluster.nodes["w3"]):
        await resource.urn.future()
    json.dump({"seen": recorded.seen}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
