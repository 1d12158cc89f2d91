"""Which tracked connections to let go of when Services change: pure.

The kernel translates a connection's first packet and remembers it; the rest follow, whatever the rules say by then.
Some memories do harm:

    connection                                       why it is let go of
    UDP, its endpoint is not behind the Service      a client that keeps its port would be sent there for ever
    TCP, not answered, its endpoint likewise         the client's next attempt (a second later) finds another endpoint
    TCP, its endpoint has ended                      a client that uses the port again would be sent to nobody; one that
                                                     waits for an answer is refused at once, and not after minutes

A TCP connection to a pod that is only not chosen any more (it is ending, another version was selected) goes on.
In: `plan.Routing` before and after. Out: `Departures`, the question; `is_stale`, the answer for one flow. `rules.py`
collects departures, `conntrack.py` asks the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from iacorch.agent.network.contract import Transport
from iacorch.agent.network.services.plan import Endpoint, Routing

Frontend = tuple[Transport, str, int]
"""(protocol, address, or "" for every address of the node, port)"""


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked connection: where the client sent it, and who answers, or would."""

    protocol: Transport
    destination: tuple[str, int]
    answered_by: Endpoint
    is_answered: bool = True
    is_translated: bool = True


@dataclass(frozen=True, slots=True)
class Departures:
    """`frontends`: those whose endpoints changed, with the endpoints they have now. `gone`: endpoints that have ended.
    `left`: addresses whose flows may be concerned; None: any."""

    frontends: Mapping[Frontend, frozenset[Endpoint]] = field(default_factory=dict)
    gone: frozenset[Endpoint] = frozenset()
    left: frozenset[str] | None = frozenset()

    def __bool__(self) -> bool:
        return bool(self.frontends or self.gone)


def departures(before: Routing, after: Routing) -> Departures:
    """What one Service's change means for connections. An endpoint that vanishes while it is fit has not ended: the
    Service may have been told to select others."""
    old, new = _frontends(before), _frontends(after)
    changed = {key: new.get(key, frozenset()) for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    gone = before.unfit - after.unfit - after.fit
    left = {endpoint.address for key, now in changed.items() for endpoint in old.get(key, frozenset()) - now}
    # What was sent to a frontend before it led anywhere is tracked as answered by the frontend itself.
    left |= {key[1] for key in changed if not old.get(key)}
    return Departures(changed, gone, frozenset(left | {endpoint.address for endpoint in gone}))


def together(first: Departures, second: Departures) -> Departures:
    """Both, the second being the later one."""
    left = None if first.left is None or second.left is None else first.left | second.left
    return Departures({**first.frontends, **second.frontends}, first.gone | second.gone, left)


def is_stale(flow: Flow, departures: Departures, node_addresses: Set[str]) -> bool:
    """Whether to let go of the flow; see the table above."""
    if flow.protocol == "TCP":
        if not flow.is_translated:
            return False
        if flow.answered_by in departures.gone:
            return True
        if flow.is_answered:
            return False
    address, port = flow.destination
    endpoints = departures.frontends.get((flow.protocol, address, port))
    if endpoints is None and address in node_addresses:
        endpoints = departures.frontends.get((flow.protocol, "", port))
    return endpoints is not None and flow.answered_by not in endpoints


def _frontends(routing: Routing) -> dict[Frontend, frozenset[Endpoint]]:
    found: dict[Frontend, frozenset[Endpoint]] = {}
    for (address, protocol, port), backend in routing.vips.items():
        found[(protocol, address, port)] = frozenset(backend.endpoints)
    for (protocol, port), backend in routing.node_ports.items():
        found[(protocol, "", port)] = frozenset(backend.endpoints)
    return found
