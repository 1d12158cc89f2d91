"""`pulumi-resource-iacorch`: runs the provider for one engine.

In: the engine's address as the one argument (none: nobody is told of progress, for trying by hand). Out: the port as
the first line of standard output, then service until it is ended or its engine is gone. This is a composition root: it
makes the clock and the IDs.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import grpc

from iacorch.infra.bootstrap.bundles import bundle
from iacorch.infra.machines.contract import MachineDriver
from iacorch.infra.machines.registry import open_driver
from iacorch.infra.protocol import provider_pb2_grpc
from iacorch.infra.provider.progress import connected
from iacorch.infra.provider.resource import Resource
from iacorch.infra.provider.resources.control_plane import ControlPlanes
from iacorch.infra.provider.resources.machine import Machines
from iacorch.infra.provider.resources.machine_class import MachineClasses
from iacorch.infra.provider.resources.manifest import Manifests
from iacorch.infra.provider.resources.node import Nodes
from iacorch.infra.provider.resources.node_pool import NodePools
from iacorch.infra.provider.resources.ssh_key import SshKeys
from iacorch.infra.provider.resources.virtual_machine import VirtualMachines
from iacorch.infra.provider.servicer import Provider
from iacorch.kit import limits
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds


def main() -> None:
    """The console script."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    asyncio.run(serve(arguments[0] if arguments else ""))


async def serve(engine_address: str) -> None:
    """Serve until SIGTERM, SIGINT, or the engine is gone."""
    clock, ended = SystemClock(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with connected(engine_address) as (log, engine_lost):
        if engine_lost is not None:
            engine_lost.add_done_callback(lambda _: ended.set())
        machines = Machines(clock, release=bundle.release())
        ids, manifests = SystemIds(), Manifests(clock)

        def open_machines(driver: str, settings: Mapping[str, Any]) -> MachineDriver:
            return open_driver(driver, settings, clock, ids)

        resources: list[Resource] = [
            SshKeys(),
            ControlPlanes(machines, ids),
            Nodes(machines),
            manifests,
            VirtualMachines(open_machines, clock),
            MachineClasses(open_machines, manifests),
            NodePools(manifests, clock),
        ]
        provider = Provider(metadata.version("iacorch"), resources, log.teller)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limits.PLUGIN_MESSAGE_BYTES),
                ("grpc.max_send_message_length", limits.PLUGIN_MESSAGE_BYTES),
            ]
        )
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await ended.wait()
        await server.stop(grace=limits.PLUGIN_GRACE_SECONDS)


if __name__ == "__main__":
    main()
