"""What this agent knows of one pod: the pod from the API and what was found and done on the node.

In: news, from the worker (the API, the runtime) and from its operations. Out: the `View` that `machine.step` decides
on. Changed in synchronous stretches by `worker.py` and `operations.py` only; nothing here waits or decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from iacorch.agent.lifecycle.observed import MAYBE_ATTACHED, Observed, Setback, Stopping, View
from iacorch.agent.lifecycle.status import OWN_CONDITIONS
from iacorch.agent.pods.probes import ProbeKey
from iacorch.agent.runtime.contract import ContainerState, ImageState
from iacorch.api import objects
from iacorch.api.objects import Object


class Knowledge:
    """One pod's; see the module docstring."""

    def __init__(self, pod: Object, containers: Iterable[ContainerState], *, pod_ip: str, host_ip: str) -> None:
        self.pod = pod
        self.containers = {state.id: state for state in containers}
        self.dirty: set[str] = set()
        """Containers about which the runtime is to be asked."""
        self.attached_sandbox = MAYBE_ATTACHED
        self.pod_ip, self.host_ip = pod_ip, host_ip
        self.is_removed = self.is_cleaned = self.volumes_ready = False
        self.ending_since: datetime | None = None
        self.images: dict[str, ImageState] = {}
        self.setbacks: dict[str, Setback] = {}
        self.stopping: dict[str, Stopping] = {}
        self.messages: dict[str, str] = {}
        """Last words of containers that have ended."""
        self.probes: Mapping[ProbeKey, bool] = {}
        self.status: dict[str, Any] | None = None
        """What was reported last, None before the first time."""

    def view(self, now: datetime) -> View:
        observed = Observed(
            containers=tuple(self.containers.values()),
            attached_sandbox=self.attached_sandbox,
            pod_ip=self.pod_ip,
            host_ip=self.host_ip,
            volumes_ready=self.volumes_ready,
            images_ready=frozenset(self.images),
            setbacks=dict(self.setbacks),
            probes=dict(self.probes),
            stopping=dict(self.stopping),
            messages=dict(self.messages),
            ending_since=self.ending_since,
            is_removed=self.is_removed,
            is_cleaned=self.is_cleaned,
        )
        return View({**self.pod, "status": self.last_status()}, observed, now)

    def last_status(self) -> dict[str, Any]:
        """What was reported last, with the conditions that others write as the API has them now."""
        given = objects.status(self.pod)
        if self.status is None:
            return given
        own = [c for c in self.status.get("conditions") or () if c["type"] in OWN_CONDITIONS]
        others = [c for c in given.get("conditions") or () if c["type"] not in OWN_CONDITIONS]
        return {**self.status, "conditions": own + others}

    def container(self, name: str) -> dict[str, Any]:
        """The container's specification."""
        found = (c for _, _, c in objects.containers(objects.spec(self.pod)) if c["name"] == name)
        return next(found, {"name": name})

    def forget(self, container_id: str) -> None:
        """The container does not exist any more."""
        self.containers.pop(container_id, None)
        self.stopping.pop(container_id, None)
        self.messages.pop(container_id, None)

    def set_back(self, name: str, reason: str, message: str, *, now: datetime, pauses: tuple[float, float]) -> float:
        """An operation failed; the seconds until it is tried again: twice as many each time, between `pauses`."""
        start, top = pauses
        count = self.setbacks[name].count + 1 if name in self.setbacks else 1
        pause = min(start * 2.0 ** min(count - 1, 30), top)
        self.setbacks[name] = Setback(reason, message, count, now, now + timedelta(seconds=pause))
        return pause
