"""Why a pod has no node, from the scheduler's sentence and the nodes. Pure.

In: the pod and the `World`. Out: a cause, what was read, what to do. Called by `pods`. The scheduler's reasons are
those of `scheduler.filters`; a reason that is not known here is shown as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import quantity
from iacorch.kit.text import listed, near
from iacorch.why.model import Step, World, is_over, is_ready

_REFUSALS: Final = re.compile(r"(\d+) (Insufficient [\w./-]+|Too many pods|node\(s\) [^,{]*(?:\{[^}]*\})?[^,]*)")
_TAINT: Final = re.compile(r"\{([^:}]*):\s*([^}]*)\}")
_MORE: Final = Step(
    "iacorch config set workers N && iacorch up", "more machines (pools do it by themselves: docs/pools.md)"
)


def cause(pod: Object, world: World) -> tuple[str, tuple[str, ...], tuple[Step, ...]]:
    """For a pod that the scheduler refused, or has not looked at."""
    told = objects.condition(pod, "PodScheduled") or {}
    message = str(told.get("message") or "")
    if told.get("status") != "False":
        name = objects.spec(pod).get("schedulerName") or "default-scheduler"
        if name != "default-scheduler":
            return f"it waits for the scheduler {name}, which is not iacorch's", (), ()
        return (
            "the scheduler has not looked at it yet",
            (),
            (
                Step(
                    "kubectl get --raw /readyz",
                    "is the control plane well? `iacorchd --no-controllers` has no scheduler",
                ),
            ),
        )
    refusals = _REFUSALS.findall(message)
    causes, steps = [], []
    for _, reason in refusals:
        words, ways = _one(reason.rstrip("."), pod, world)
        causes.append(words)
        steps += ways
    known = "; ".join(dict.fromkeys(causes))
    return (f"no node takes it: {known or message}", (message,) if message else (), tuple(dict.fromkeys(steps)))


def _one(reason: str, pod: Object, world: World) -> tuple[str, list[Step]]:
    if reason.startswith("Insufficient "):
        return _insufficient(reason.removeprefix("Insufficient "), pod, world)
    if reason == "Too many pods":
        return "every node has as many pods as it may have", [_MORE]
    if "unschedulable" in reason:
        names = [objects.name(n) for n in world.nodes if objects.spec(n).get("unschedulable")]
        return f"{listed(names) or 'nodes'} cordoned", [Step(f"kubectl uncordon {name}") for name in names[:2]]
    if "not ready" in reason:
        names = [objects.name(n) for n in world.nodes if not is_ready(n)]
        return f"{listed(names) or 'nodes'} not ready", [Step(f"iacorch why node/{name}") for name in names[:2]]
    if "untolerated taint" in reason:
        return _tainted(reason, world)
    if "node affinity/selector" in reason:
        return _selected(pod, world)
    if "free ports" in reason:
        return "its hostPort is taken on every node", [
            Step("kubectl get pods -A -o wide", "who has it; or drop hostPort")
        ]
    if "topology spread" in reason:
        return "its topologySpreadConstraints allow no node", [Step("kubectl get nodes --show-labels")]
    if "affinity" in reason:
        return "its affinity to other pods allows no node", [Step("kubectl get pods -o wide --show-labels")]
    return reason, []


def _insufficient(resource: str, pod: Object, world: World) -> tuple[str, list[Step]]:
    """What it asks for against what is free where the most is free."""
    asked = _requested(pod, resource)
    rooms = sorted(_rooms(resource, world), reverse=True)
    lower = Step(f"kubectl get pod {objects.name(pod)} -o yaml > pod.yaml", f"make it anew, asking for less {resource}")
    if kind_name := world.owner_of(pod)[0]:
        lower = Step(
            f"kubectl set resources {kind_name.lower()}/{world.owner_of(pod)[1]} --requests={resource}=AMOUNT",
            f"ask for less {resource}",
        )
    if not rooms:
        return f"too little {resource}", [lower, _MORE]
    free, _, node = rooms[0]
    most = max(size for _, size, _ in rooms)
    room = f"the most that is free is {_shown(free, resource)} ({node})"
    words = f"it asks for {_shown(asked, resource)} of {resource}, {room}"
    if asked > most:
        return f"{words}, and no node is larger than {_shown(most, resource)}", [lower]
    return words, [lower, _MORE]


def _rooms(resource: str, world: World) -> Iterator[tuple[float, float, str]]:
    for node in world.nodes:
        if not is_ready(node) or objects.spec(node).get("unschedulable"):
            continue
        name = objects.name(node)
        size = _amount((objects.status(node).get("allocatable") or {}).get(resource, "0"))
        taken = sum(_requested(pod, resource) for pod in world.pods_on(name) if not is_over(pod))
        yield size - taken, size, name


def _requested(pod: Object, resource: str) -> float:
    """All containers together, or the largest init container."""
    spec = objects.spec(pod)
    each = [
        [_amount(((c.get("resources") or {}).get("requests") or {}).get(resource, "0")) for c in spec.get(field) or ()]
        for field in ("containers", "initContainers")
    ]
    return max(sum(each[0]), max(each[1], default=0.0))


def _amount(text: Any) -> float:
    try:
        return float(quantity.parse(str(text)).amount)
    except ValueError:
        return 0.0


def _shown(amount: float, resource: str) -> str:
    if resource in ("memory", "ephemeral-storage"):
        return f"{amount / 1024**2:.0f}Mi"
    return f"{amount:g}" if resource != "cpu" or amount == int(amount) else f"{amount * 1000:.0f}m"


def _tainted(reason: str, world: World) -> tuple[str, list[Step]]:
    match = _TAINT.search(reason)
    key, value = (match[1].strip(), match[2].strip()) if match else ("", "")
    names = [
        objects.name(n) for n in world.nodes if any(t.get("key") == key for t in objects.spec(n).get("taints") or ())
    ]
    shown = f"{key}={value}" if value else key
    words = f"{listed(names) or 'nodes'} tainted {shown}, which it does not tolerate"
    if key.startswith("node.kubernetes.io/"):
        # the control plane's own: it goes when the node is well
        return words, [Step(f"iacorch why node/{name}") for name in names[:2]]
    return words, [Step(f"kubectl taint node {name} {key}-", "or give the pod a toleration") for name in names[:1]]


def _selected(pod: Object, world: World) -> tuple[str, list[Step]]:
    wanted = objects.spec(pod).get("nodeSelector") or {}
    if not wanted:
        return "its node affinity matches no node", [Step("kubectl get nodes --show-labels", "what there is")]
    missing = {k: v for k, v in wanted.items() if not any(objects.labels(n).get(k) == v for n in world.nodes)}
    shown = ", ".join(f"{k}={v}" for k, v in (missing or wanted).items())
    there = sorted({f"{k}={v}" for n in world.nodes for k, v in objects.labels(n).items()})
    close = near(shown, there, most=1)
    means = f"; did you mean {close[0]}?" if close and close[0] != shown else ""
    node = objects.name(world.nodes[0]) if world.nodes else "NODE"
    words = f"no node has the label {shown}" if missing else f"no node has all of {shown}"
    label = shown.replace(", ", " ")
    return f"{words}{means}", [Step(f"kubectl label node {node} {label}", "or change the pod's nodeSelector")]
