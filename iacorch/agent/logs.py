"""A container's log, as `kubectl logs` asks for it.

In: the parameters of an OPEN frame of the tunnel. Out: chunks of bytes. `tunnel.py` calls it. Source: Kubernetes API
reference, PodLogOptions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

from iacorch.agent.pods.pods import Pods
from iacorch.agent.runtime.contract import ContainerState, LogOptions, Runtime
from iacorch.api import objects
from iacorch.errors import BadRequest, NotFound
from iacorch.kit.clock import Clock, parse_rfc3339

_PULLING: Final = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class Logs:
    def __init__(self, pods: Pods, runtime: Runtime, clock: Clock) -> None:
        self._pods, self._runtime, self._clock = pods, runtime, clock

    @asynccontextmanager
    async def open(self, params: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Raises NotFound, BadRequest in Kubernetes' words, and a RuntimeFailed."""
        state = self._find(params)
        async with self._runtime.logs(state.id, options(params, now=self._clock.now())) as chunks:
            limit = params.get("limitBytes")
            yield chunks if limit is None else _cut(chunks, int(limit))

    def _find(self, params: Mapping[str, Any]) -> ContainerState:
        name, pod_name, previous = params.get("container", ""), params.get("pod", ""), bool(params.get("previous"))
        worker = self._pods.find(str(params.get("uid", "")))
        if worker is None:
            raise NotFound(f'pod "{pod_name}" is not on this node')
        state = worker.container(name, previous=previous)
        if state is not None:
            return state
        if previous:
            raise BadRequest(f'previous terminated container "{name}" in pod "{pod_name}" not found')
        raise BadRequest(f'container "{name}" in pod "{pod_name}" is waiting to start: {why_waiting(worker.pod, name)}')


def options(params: Mapping[str, Any], *, now: datetime) -> LogOptions:
    """Raises BadRequest for a time that is none."""
    since = None
    if (seconds := params.get("sinceSeconds")) is not None:
        with suppress(OverflowError):  # before all time: everything
            since = now - timedelta(seconds=int(seconds))
    elif text := params.get("sinceTime"):
        try:
            since = parse_rfc3339(str(text))
        except ValueError as error:
            raise BadRequest(f"sinceTime: Invalid value: {text!r}: {error}") from error
    tail = params.get("tailLines")
    return LogOptions(
        follow=bool(params.get("follow")),
        tail_lines=None if tail is None else int(tail),
        timestamps=bool(params.get("timestamps")),
        since=since,
    )


def why_waiting(pod: Mapping[str, Any], name: str) -> str:
    """Why a container has no log yet, as Kubernetes says it."""
    status = objects.status(pod)
    for entry in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if entry.get("name") == name:
            reason = str((entry.get("state") or {}).get("waiting", {}).get("reason") or "ContainerCreating")
            return _PULLING.get(reason, reason)
    return "ContainerCreating"


async def _cut(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk[:limit]
        limit -= len(chunk)
        if limit <= 0:
            return
