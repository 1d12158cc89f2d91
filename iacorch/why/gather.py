"""Asks the API for all that an explanation may need, once: the edge of this room.

In: a client. Out: a `World`. What may not be read (no permission, a kind that is not served) is named in `unseen` and
does not stop the rest; a server that does not answer raises `Unavailable`. Called by the command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from iacorch.api import catalogue, objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import ApiError, Unavailable
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.tasks import Tasks
from iacorch.why.model import World, statuses

#: namespace, pod, container -> its last lines
Logs = Callable[[str, str, str], Awaitable[str]]

_KINDS: Final[dict[str, Kind]] = {
    "nodes": catalogue.NODE,
    "pods": catalogue.POD,
    "deployments": catalogue.DEPLOYMENT,
    "replica_sets": catalogue.REPLICA_SET,
    "services": catalogue.SERVICE,
    "events": catalogue.EVENT,
    "claims": catalogue.NODE_CLAIM,
    "pools": catalogue.NODE_POOL,
    "reports": catalogue.DRIFT_REPORT,
}


async def gather(client: Client, logs: Logs, clock: Clock) -> World:
    """Raises Unavailable."""

    async def read(field: str, kind: Kind) -> tuple[tuple[Object, ...], str]:
        """What there is, and why that is not known."""
        try:
            return tuple((await client.list(kind)).items), ""
        except Unavailable:
            raise
        except ApiError as error:
            return (), f"{field.replace('_', ' ')}: {error.message}"

    async with Tasks("why") as tasks:
        asked = {field: tasks.spawn(read(field, kind)) for field, kind in _KINDS.items()}
        answers = {field: await answer for field, answer in asked.items()}
        found = {field: items for field, (items, _) in answers.items()}
        return World(
            clock.now(),
            **found,
            logs=await _last_words(found["pods"], logs, tasks),
            unseen=tuple(why for _, why in answers.values() if why),
        )


async def _last_words(pods: tuple[Object, ...], logs: Logs, tasks: Tasks) -> dict[str, str]:
    """Of containers that crashed. An agent that does not answer has none to tell."""
    crashed: dict[str, tuple[str, str, str]] = {}
    owners: set[tuple[str, str]] = set()
    for pod in pods:
        for container, told, _ in statuses(pod):
            state, name = told.get("state") or {}, str(container.get("name"))
            waits = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
            ended = bool((state.get("terminated") or {}).get("exitCode"))
            owner = (str((objects.controller_of(pod) or {}).get("uid", objects.uid(pod))), name)
            if (waits or ended) and owner not in owners and len(crashed) < limits.WHY_LOGS:
                owners.add(owner)
                space, pod_name = objects.namespace(pod), objects.name(pod)
                crashed[f"{objects.key(pod)}/{name}"] = (space, pod_name, name)

    async def one(asked: tuple[str, str, str]) -> str:
        try:
            async with asyncio.timeout(limits.WHY_LOG_SECONDS):
                return await logs(*asked)
        except (ApiError, TimeoutError):
            return ""

    answers = {key: tasks.spawn(one(asked)) for key, asked in crashed.items()}
    return {key: await lines for key, lines in answers.items()}
