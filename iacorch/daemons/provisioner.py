"""`iacorch provisioner`: makes, mends and removes the machines of node pools.

In: flags. Out: a running provisioner, until SIGTERM. It runs where state and credentials live: the machine of the
control plane, an operator's machine, a CI job; agents and workloads do not need it to run. This is the composition
root: it makes the clock, the IDs, the client, the deployment engine and the hands, and decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import NAMESPACE
from iacorch.client.config import Endpoint
from iacorch.client.contract import Client
from iacorch.client.http import HttpClient
from iacorch.daemons.process import notify, only_one
from iacorch.errors import ConfigError, IacorchError
from iacorch.infra.engine.contract import Deployer, StackRef
from iacorch.infra.engine.select import Choice, choose
from iacorch.kit import limits
from iacorch.kit.clock import Clock, SystemClock
from iacorch.kit.ids import Ids, SystemIds
from iacorch.kit.tasks import Tasks
from iacorch.provision.machines.hands import HandsByDriver
from iacorch.provision.machines.stacks import StackMachines, passphrase
from iacorch.provision.provisioner import Provisioner

log = structlog.get_logger(__name__)


_JOINING: Final = frozenset({"server", "ca_cert", "join_token", "kubeconfig"})
"""What nodes join with, as `ControlPlane.joining` gives it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`state`: where journal, stacks and their passphrase are kept. `stack`: the one with the control plane.

    `endpoint` reads how the API is reached: certificates change while this runs.
    """

    state: Path
    endpoint: Callable[[], Awaitable[Endpoint]]
    stack: StackRef
    stack_deployer: Deployer
    engine: Choice
    parallel: int


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with only_one(settings.state, "iacorch provisioner"):
        while not stopping.is_set():
            endpoint = await settings.endpoint()
            async with running(settings, endpoint) as provisioner:
                async with Tasks("provisioner-daemon") as tasks:
                    tasks.spawn(provisioner.run(), name="provisioner")
                    log.info("provisioning", server=endpoint.url, state=str(settings.state), name=provisioner.holder)
                    notify("READY=1")
                    while not stopping.is_set() and not await _is_another(settings, endpoint):
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(limits.ENDPOINT_LOOK_SECONDS):
                                await stopping.wait()
                if stopping.is_set():
                    await provisioner.leadership.resign()
        notify("STOPPING=1")


async def _is_another(settings: Settings, endpoint: Endpoint) -> bool:
    """Whether the way to the API is another by now: its CA, or our certificate. What was begun is taken up again."""
    try:
        found = await settings.endpoint()
    except IacorchError as error:
        log.info("the way to the API cannot be read", error=error.message)
        return False
    if found == endpoint:
        return False
    log.info("the way to the API has changed", server=found.url)
    return True


@contextlib.asynccontextmanager
async def running(settings: Settings, endpoint: Endpoint) -> AsyncIterator[Provisioner]:
    """A provisioner with everything it needs, not started yet."""
    clock, ids = SystemClock(), SystemIds()
    await _joining(settings)  # what is wrong with it is said at once
    async with HttpClient(endpoint) as client:
        cluster = await cluster_name(client)
        machines = StackMachines(
            _deployer(settings, clock, ids),
            HandsByDriver(cluster=cluster, clock=clock, ids=ids),
            cluster=cluster,
            folder=settings.state,
            joining=lambda: _joining(settings),
        )
        yield Provisioner(client, clock, ids, machines, state=settings.state, parallel=settings.parallel)


async def _joining(settings: Settings) -> Mapping[str, str]:
    """How nodes join, as the stack with the control plane says it now. Raises ConfigError."""
    outputs = await settings.stack_deployer.outputs(settings.stack)
    if "joining" not in outputs:
        raise ConfigError(
            f"the stack {settings.stack.stack} has no output `joining`",
            where="--stack",
            hint='add pulumi.export("joining", control_plane.joining) to its program and run `iacorch up`',
        )
    found = outputs["joining"].value
    if not isinstance(found, Mapping) or not found.keys() >= _JOINING:
        raise ConfigError(
            f"the output `joining` of the stack {settings.stack.stack} is not what nodes join with",
            where="--stack",
            hint=f"a program exports control_plane.joining, which has {', '.join(sorted(_JOINING))}",
        )
    return found


async def cluster_name(client: Client) -> str:
    """What tells this cluster's machines from others': the UID of kube-system, which lives as long as the cluster."""
    return objects.uid(await client.get(NAMESPACE, "", "kube-system"))


def _deployer(settings: Settings, clock: Clock, ids: Ids) -> Deployer:
    environment = {**os.environ, "PULUMI_CONFIG_PASSPHRASE": passphrase(settings.state, ids.token())}
    return choose(settings.engine, clock, ids, environment)
