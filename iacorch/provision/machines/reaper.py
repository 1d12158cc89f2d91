"""Machines that carry our tag and have no owner.

In: what the classes' accounts have, the claims there are. Out: those that nobody owns; with consent they are removed.
Called by `iacorch reap`; by default it only lists. A machine without a claim's tag belongs to somebody's program, and
is none of the reaper's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from iacorch.api import objects
from iacorch.api.catalogue import MACHINE_CLASS, NODE_CLAIM
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import IacorchError
from iacorch.provision.machines.contract import Hands, Owned


@dataclass(frozen=True, slots=True)
class Found:
    """`unseen`: classes whose account could not be asked, with why: what they have is not known."""

    ownerless: tuple[tuple[Object, Owned], ...]
    owned: int
    unseen: tuple[tuple[str, str], ...] = ()


def ownerless(machines: Iterable[Owned], claims: Iterable[Object]) -> tuple[Owned, ...]:
    """Those that were made for a claim which is not there any more. Pure."""
    known = {objects.uid(claim) for claim in claims}
    return tuple(machine for machine in machines if machine.claim and machine.claim not in known)


async def look(client: Client, hands: Hands) -> Found:
    """Machines first, claims afterwards: a claim that was made meanwhile is never taken for gone."""
    found: dict[str, tuple[Object, Owned]] = {}
    unseen: list[tuple[str, str]] = []
    total = 0
    seen: list[tuple[Object, Sequence[Owned]]] = []
    for machine_class in (await client.list(MACHINE_CLASS)).items:
        try:
            seen.append((machine_class, await hands.owned(machine_class)))
        except IacorchError as error:
            unseen.append((objects.name(machine_class), error.message))
    claims = (await client.list(NODE_CLAIM)).items
    every = {machine.machine_id for _, machines in seen for machine in machines}
    for machine_class, machines in seen:
        for machine in ownerless(machines, claims):
            found.setdefault(machine.machine_id, (machine_class, machine))
    total = len(every) - len(found)
    return Found(tuple(found[id] for id in sorted(found)), total, tuple(unseen))


async def reap(hands: Hands, found: Found, say: Callable[[str], None]) -> int:
    """Remove them; how many were. One that cannot be removed is said and left."""
    count = 0
    for machine_class, machine in found.ownerless:
        try:
            await hands.remove(machine_class, machine)
        except IacorchError as error:
            say(f"{machine.name} ({machine.machine_id}) was not removed: {error.message}")
            continue
        say(f"removed {machine.name} ({machine.machine_id})")
        count += 1
    return count
