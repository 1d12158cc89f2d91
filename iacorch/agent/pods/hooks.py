"""Lifecycle hooks: postStart after a container was started, preStop before it is told to end.

In: a container of a pod with its `lifecycle`, and a `Prober`, whose handlers these are too. Out: whether the hook went
well. The worker calls it. Source: Kubernetes API reference, Lifecycle and LifecycleHandler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from iacorch.agent.pods.prober import Prober, Reply, Subject
from iacorch.agent.runtime.contract import Runtime
from iacorch.errors import RuntimeFailed
from iacorch.kit.clock import Clock


async def run(
    handler: Mapping[str, Any], subject: Subject, *, prober: Prober, clock: Clock, timeout_seconds: float
) -> Reply:
    """Never raises; a hook that takes longer than it may is not good."""
    if (action := handler.get("sleep")) is not None:
        await clock.sleep(min(float(action.get("seconds") or 0), timeout_seconds))
        return Reply(True)
    return await prober.ask(handler, subject, timeout_seconds=timeout_seconds)


async def stop(
    container: Mapping[str, Any],
    subject: Subject,
    *,
    runtime: Runtime,
    prober: Prober,
    clock: Clock,
    grace_seconds: float,
) -> Reply:
    """The preStop hook, if there is one, and then the stop signal; answers how the hook went.

    A hook that takes the whole grace period leaves nothing for the signal: the kill follows at once.
    """
    reply = Reply(True)
    handler = (container.get("lifecycle") or {}).get("preStop")
    if handler and grace_seconds > 0:
        try:
            async with asyncio.timeout(grace_seconds):
                reply = await run(handler, subject, prober=prober, clock=clock, timeout_seconds=grace_seconds)
        except TimeoutError:
            reply = Reply(False, f"took longer than {grace_seconds:g} s")
    try:
        await runtime.signal(subject.container_id)
    except RuntimeFailed as error:
        return Reply(False, error.message)  # at its deadline it is killed
    return reply
