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
from iacorch.daemons.process import InUse, notify, only_one
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

    `endpoint` reads how the API is reached: certificates change while this runs. `standby`: while another process uses
    the same state, wait until it has ended, however that was, instead of refusing.
    """

    state: Path
    endpoint: Callable[[], Awaitable[Endpoint]]
    stack: StackRef
    stack_deployer: Deployer
    engine: Choice
    parallel: int
    standby: bool = False


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with _alone(settings, stopping):
        while not stopping.is_set():
            endpoint = await settings.endpoint()
            async with running(settings, endpoint) as provisioner:
                async with Tasks("provisioner-daemon") as tasks:
                    tasks.spawn(provisioner.run(), name="provisioner")
                    log.info("provisioning", server=endpoint.url, state=str(settings.state), name=provisioner.holder)
                    notify("READY=1")
                    while not await _is_set_within(stopping, limits.ENDPOINT_LOOK_SECONDS):
                        if await is_another(settings.endpoint, endpoint):
                            break
                if stopping.is_set():
                    await provisioner.leadership.resign()
        notify("STOPPING=1")


@contextlib.asynccontextmanager
async def _alone(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[None]:
    """Hold the state for this process. Raises InUse when another one does, and this is no standby."""
    waits = False
    while not stopping.is_set():
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(only_one(settings.state, "iacorch provisioner"))
            except InUse as error:
                if not settings.standby:
                    raise
                if not waits:
                    log.info("standing by", why=error.message)
                    notify("READY=1")
                waits = True
                await _is_set_within(stopping, limits.STANDBY_LOOK_SECONDS)
                continue
            yield
            return
    yield  # it was stopped while it waited: there is nothing to hold


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def is_another(find: Callable[[], Awaitable[Endpoint]], endpoint: Endpoint) -> bool:
    """Whether the way to the API is another by now: its CA, or our certificate. What was begun is taken up again.

    It is read from a stack, in whose place there may be a disk or a program that does not answer: nothing waits for it.
    """
    try:
        async with asyncio.timeout(limits.ENDPOINT_READ_SECONDS):
            found = await find()
    except (IacorchError, TimeoutError) as error:
        log.info("the way to the API cannot be read", error=str(error) or "no answer in time")
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
