"""What the provider does through the API: wait for a node, drain it, forget it; wait for the server.

In: a kubeconfig (text). Called by `node`, `control_plane` and `manifest`. Every wait is bounded and tells what it
waits for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from iacorch.api import catalogue, objects
from iacorch.api.objects import Object
from iacorch.client.config import parse_kubeconfig
from iacorch.client.contract import Client
from iacorch.client.http import HttpClient
from iacorch.errors import ApiError, Conflict, IacorchError, MethodNotAllowed, NotFound, TooManyRequests
from iacorch.infra.provider.resource import Say
from iacorch.kit import limits
from iacorch.kit.clock import Clock

NODE = catalogue.kind("Node")
POD = catalogue.kind("Pod")
LEASE = catalogue.kind("Lease", "coordination.k8s.io/v1")
LEASE_NAMESPACE: Final = "kube-node-lease"
LEASE_RENEWALS: Final = 2


class NotInTime(IacorchError):
    """Something that was waited for did not come; says what was seen last."""


@asynccontextmanager
async def opened(kubeconfig: str) -> AsyncIterator[HttpClient]:
    """A client for a kubeconfig. Raises ConfigError when it cannot be used."""
    async with HttpClient(parse_kubeconfig(kubeconfig, where="kubeconfig")) as client:
        yield client


async def wait_server(client: HttpClient, clock: Clock, say: Say, *, timeout_seconds: float) -> None:
    """Return when the API answers. Raises NotInTime."""

    async def ask() -> str:
        try:
            await client.list(NODE)
        except ApiError as error:
            return error.message
        return ""

    await _wait(ask, "the API", clock, say, timeout_seconds)


async def wait_ready(client: Client, name: str, clock: Clock, say: Say, *, timeout_seconds: float) -> Object:
    """The Node object once it is Ready. Raises NotInTime with what was seen last."""
    node: Object = {}

    async def ask() -> str:
        nonlocal node
        try:
            node = await client.get(NODE, "", name)
        except NotFound:
            return "it has not joined"
        except ApiError as error:
            return error.message
        if objects.condition_is(node, "Ready"):
            return ""
        condition = objects.condition(node, "Ready") or {}
        return f"not Ready: {condition.get('reason', '')} {condition.get('message', '')}".strip()

    await _wait(ask, f"node {name}", clock, say, timeout_seconds)
    return node


async def wait_beating(client: Client, name: str, clock: Clock, say: Say, *, timeout_seconds: float) -> None:
    """Return when the node's agent has renewed its lease twice from now on. Raises NotInTime."""
    seen: list[str] = []

    async def ask() -> str:
        try:
            lease = await client.get(LEASE, LEASE_NAMESPACE, name)
        except ApiError as error:
            return error.message
        renewed = str(objects.spec(lease).get("renewTime", ""))
        if not seen or seen[-1] != renewed:
            seen.append(renewed)
        return "" if len(seen) > LEASE_RENEWALS else "its agent does not renew its lease"

    await _wait(ask, f"node {name}", clock, say, timeout_seconds)


async def find_node(client: Client, name: str) -> Object | None:
    """The Node object, or None. Raises Unavailable."""
    try:
        return await client.get(NODE, "", name)
    except NotFound:
        return None


async def cordon(client: Client, name: str, *, unschedulable: bool = True) -> None:
    """Or uncordon. Raises NotFound."""
    await client.patch(NODE, "", name, {"spec": {"unschedulable": True if unschedulable else None}})


async def drain(client: Client, name: str, clock: Clock, say: Say, *, timeout_seconds: float) -> list[str]:
    """Cordon the node and evict its pods, but for DaemonSets'. What is left after the time is said and answered."""
    try:
        await cordon(client, name)
    except NotFound:
        return []
    deadline = clock.monotonic() + timeout_seconds
    while pods := await _evictable(client, name):
        say(f"{name}: draining, {len(pods)} pods left")
        for pod in pods:
            if not objects.is_deleting(pod):
                await _evict(client, pod)
        if clock.monotonic() >= deadline:
            left = [f"{objects.namespace(pod)}/{objects.name(pod)}" for pod in pods]
            say(f"{name}: {len(pods)} pods did not leave in {timeout_seconds:.0f} s: {', '.join(left[:5])}")
            return left
        await clock.sleep(limits.API_POLL_SECONDS)
    return []


async def forget_node(client: Client, name: str) -> None:
    """Remove the Node object; not there is fine."""
    try:
        await client.delete(NODE, "", name)
    except NotFound:
        return


async def _evictable(client: Client, name: str) -> list[Object]:
    pods = (await client.list(POD, field_selector=f"spec.nodeName={name}")).items
    return [
        pod
        for pod in pods
        if (objects.controller_of(pod) or {}).get("kind") != "DaemonSet"
        and objects.status(pod).get("phase") not in ("Succeeded", "Failed")
    ]


async def _evict(client: Client, pod: Object) -> None:
    namespace, name = objects.namespace(pod), objects.name(pod)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name},
        "deleteOptions": {"preconditions": {"uid": objects.uid(pod)}},
    }
    try:
        await client.create(POD, eviction, subresource="eviction")
    except (TooManyRequests, Conflict):
        return  # a disruption budget says not now, or it is another pod by now: the next round looks again
    except (NotFound, MethodNotAllowed):
        # Gone already, or a server without the subresource.
        try:
            await client.delete(POD, namespace, name, uid=objects.uid(pod))
        except (NotFound, Conflict):
            return


async def _wait(ask: Callable[[], Awaitable[str]], what: str, clock: Clock, say: Say, timeout_seconds: float) -> None:
    """Ask until the answer is empty (nothing is missing any more)."""
    deadline = clock.monotonic() + timeout_seconds
    told = ""
    while missing := await ask():
        if clock.monotonic() >= deadline:
            raise NotInTime(f"{what} was not ready after {timeout_seconds:.0f} s: {missing}")
        if missing != told:
            say(f"waiting for {what}: {missing}")
            told = missing
        await clock.sleep(limits.API_POLL_SECONDS)
