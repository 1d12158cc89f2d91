"""What happens in a run: a list of timed events drawn from a seed, before anything runs.

In: a seed and sizes. Out: a `Script`, a value that prints as the story of the run. Users ask for things, and things
break; every break is mended at the latest when `calm_seconds` is reached, and from then on only time passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from iacorch.kit.ids import Ids, SeededIds


class Do(StrEnum):
    """What one event does; `subject` is a deployment or a node, `amount` a number of replicas or seconds."""

    CREATE = "create deployment"
    SCALE = "scale deployment"
    UPDATE = "update deployment's image"
    BREAK_IMAGE = "update deployment to an image that does not exist"
    DELETE = "delete deployment"
    DELETE_POD = "delete a pod of"
    CRASH_CONTAINER = "crash a container on"
    KILL_AGENT = "kill the agent on"
    STOP_AGENT = "stop the agent on"
    CUT_NODE = "cut the line to"
    KILL_MACHINE = "kill the machine"
    SICKEN = "probes fail on"
    KILL_CONTROL_PLANE = "kill controllers and scheduler"
    KILL_SERVER = "kill the server with its store, controllers and scheduler"
    STOP_CONTROL_PLANE = "stop controllers and scheduler"
    CUT_WATCHES = "cut every watch"
    STORM = "lose and double requests"


@dataclass(frozen=True, slots=True)
class Event:
    """At `at_seconds`, do it; what has a duration ends after `amount` seconds."""

    at_seconds: float
    do: Do
    subject: str = ""
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.at_seconds:8.3f}  {self.do} {self.subject} {self.amount or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class Script:
    seed: int
    nodes: int
    calm_seconds: float
    events: tuple[Event, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}, {self.nodes} nodes", *map(str, self.events)])


DEPLOYMENTS: Final = ("ant", "bee", "cat", "dog", "eel")
#: How often each kind of event is drawn, out of the sum.
WEIGHTS: Final[Sequence[tuple[Do, int]]] = (
    (Do.CREATE, 2),
    (Do.SCALE, 6),
    (Do.UPDATE, 3),
    (Do.BREAK_IMAGE, 1),
    (Do.DELETE, 1),
    (Do.DELETE_POD, 4),
    (Do.CRASH_CONTAINER, 6),
    (Do.KILL_AGENT, 4),
    (Do.STOP_AGENT, 3),
    (Do.CUT_NODE, 3),
    (Do.KILL_MACHINE, 3),
    (Do.SICKEN, 3),
    (Do.KILL_CONTROL_PLANE, 3),
    (Do.KILL_SERVER, 3),
    (Do.STOP_CONTROL_PLANE, 3),
    (Do.CUT_WATCHES, 3),
    (Do.STORM, 4),
)
LONGEST_FAULT_SECONDS: Final = 30


def write_script(seed: int, *, nodes: int = 50, events: int = 30, busy_seconds: float = 60) -> Script:
    """The same arguments give the same script."""
    ids = SeededIds(seed)
    times = sorted(round(2 + ids.fraction() * (busy_seconds - 2), 3) for _ in range(events))
    drawn = [Event(1.0, Do.CREATE, name, 1 + _draw(ids, 8)) for name in DEPLOYMENTS[: 2 + _draw(ids, 3)]]
    for at_seconds in times:
        drawn.append(_event(ids, at_seconds, nodes))
    return Script(seed, nodes, busy_seconds + LONGEST_FAULT_SECONDS, tuple(drawn))


def _event(ids: Ids, at_seconds: float, nodes: int) -> Event:
    do = _weighted(ids)
    deployment, node = DEPLOYMENTS[_draw(ids, len(DEPLOYMENTS))], f"node-{_draw(ids, nodes):02}"
    seconds = 1 + _draw(ids, LONGEST_FAULT_SECONDS)
    match do:
        case Do.SCALE:
            return Event(at_seconds, do, deployment, _draw(ids, 12))
        case Do.UPDATE | Do.BREAK_IMAGE | Do.DELETE | Do.DELETE_POD | Do.CREATE:
            return Event(at_seconds, do, deployment, 1 + _draw(ids, 5))
        case Do.CRASH_CONTAINER:
            return Event(at_seconds, do, node)
        case Do.CUT_WATCHES:
            return Event(at_seconds, do)
        case Do.KILL_CONTROL_PLANE | Do.KILL_SERVER | Do.STOP_CONTROL_PLANE | Do.STORM:
            return Event(at_seconds, do, "", seconds)
        case Do.KILL_AGENT | Do.STOP_AGENT | Do.CUT_NODE | Do.KILL_MACHINE | Do.SICKEN:
            return Event(at_seconds, do, node, seconds)


def _weighted(ids: Ids) -> Do:
    left = _draw(ids, sum(weight for _, weight in WEIGHTS))
    for do, weight in WEIGHTS:
        if left < weight:
            return do
        left -= weight
    raise AssertionError("unreachable: the weights add up")


def _draw(ids: Ids, below: int) -> int:
    return int(ids.fraction() * below)
