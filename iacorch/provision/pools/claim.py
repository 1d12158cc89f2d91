"""A NodeClaim, parsed: where it stands and what it stands for.

In: the object. Out: `Claim`, frozen. `new_claim` is the only place that says what a fresh one looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import NODE_CLAIM
from iacorch.api.objects import Object
from iacorch.api.values import durations
from iacorch.infra.bootstrap import marks
from iacorch.provision.pools.amounts import Amounts, capacity_amounts, micros, money_text
from iacorch.provision.pools.offers import Offer, offer_of
from iacorch.provision.pools.pool import Pool
from iacorch.provision.pools.words import FINALIZER, HASH, POOL_LABEL, REPLACES, Condition


@dataclass(frozen=True, slots=True)
class Claim:
    """See the module docstring. `node_name` is the claim's name until the machine says otherwise."""

    name: str
    uid: str
    pool: str
    class_name: str
    offer: Offer
    taints: tuple[Mapping[str, Any], ...]
    labels: Mapping[str, str]
    node_name: str
    created: datetime
    launched: datetime | None
    terminated: datetime | None
    expire_after_seconds: float | None
    deleting: bool
    disruption: str
    """Why it is to go: `Reason: words`; empty while nobody wants that."""
    replaces: str
    hash: str
    wish: str
    """That its machine be made a node again (`infra.bootstrap.marks`); empty while nobody wants that."""
    obj: Object = field(compare=False, repr=False)

    def has(self, condition: Condition) -> bool:
        return objects.condition_is(self.obj, condition)

    def reason(self, condition: Condition) -> str:
        return str((objects.condition(self.obj, condition) or {}).get("reason") or "")

    def message(self, condition: Condition) -> str:
        return str((objects.condition(self.obj, condition) or {}).get("message") or "")

    def since(self, condition: Condition) -> datetime | None:
        """Since when the condition is as it is."""
        return objects.moment((objects.condition(self.obj, condition) or {}).get("lastTransitionTime"))

    @property
    def amounts(self) -> Amounts:
        return capacity_amounts(self.offer.capacity, self.offer.price)

    @property
    def is_going(self) -> bool:
        return self.deleting or bool(self.disruption)

    @property
    def is_updating(self) -> bool:
        """A wish stands that was not answered yet."""
        return bool(self.wish) and self.wish != objects.status(self.obj).get("answered")

    @property
    def failed_to_launch(self) -> bool:
        found = objects.condition(self.obj, Condition.LAUNCHED) or {}
        return found.get("status") == "False"


DISRUPTION = "iacorch.dev/disruption"
"""An annotation of a claim: why it is to go."""


def claim_of(obj: Object) -> Claim:
    """Parse a NodeClaim that the server has validated."""
    spec, status, annotations = objects.spec(obj), objects.status(obj), objects.annotations(obj)
    created = objects.creation_timestamp(obj)
    assert created is not None
    return Claim(
        name=objects.name(obj),
        uid=objects.uid(obj),
        pool=objects.labels(obj).get(POOL_LABEL, ""),
        class_name=spec["classRef"]["name"],
        offer=offer_of(spec["offering"], spec["classRef"]["name"]),
        taints=tuple(spec.get("taints") or ()),
        labels=spec.get("labels") or {},
        node_name=status.get("nodeName") or objects.name(obj),
        created=created,
        launched=objects.moment(status.get("launchedTime")),
        terminated=objects.moment(status.get("terminatedTime")),
        expire_after_seconds=durations.seconds_or(spec.get("expireAfter"), None),
        deleting=objects.is_deleting(obj),
        disruption=annotations.get(DISRUPTION, ""),
        replaces=annotations.get(REPLACES, ""),
        hash=annotations.get(HASH, ""),
        wish=annotations.get(marks.UPDATE, ""),
        obj=obj,
    )


def new_claim(
    pool: Pool, offer: Offer, name: str, *, hash_: str, requests: Mapping[str, str], replaces: str = ""
) -> Object:
    """A claim of the pool for this offering. Its name is chosen so that making it twice collides."""
    spec: dict[str, Any] = {
        "classRef": {"name": pool.class_name},
        "offering": offer.spec(),
        "labels": {key: value for key, value in pool.labels.items() if key != POOL_LABEL},
        "resources": dict(requests),
    }
    if pool.taints:
        spec["taints"] = [dict(taint) for taint in pool.taints]
    if requirements := objects.spec(pool.obj).get("requirements"):
        spec["requirements"] = requirements
    if expire := objects.spec(pool.obj).get("expireAfter"):
        spec["expireAfter"] = expire
    annotations = {HASH: hash_} | ({REPLACES: replaces} if replaces else {})
    return {
        "apiVersion": NODE_CLAIM.api_version,
        "kind": NODE_CLAIM.kind,
        "metadata": {
            "name": name,
            "labels": {POOL_LABEL: pool.name},
            "annotations": annotations,
            "finalizers": [FINALIZER],
            "ownerReferences": [objects.owner_reference(pool.obj)],
        },
        "spec": spec,
    }


def held(claims: Sequence[Claim]) -> Amounts:
    """Everything that a pool's claims hold; one whose machine is known to be gone holds nothing."""
    total = Amounts()
    for claim in claims:
        if claim.terminated is None:
            total = total + claim.amounts
    return total


def price_words(price: int) -> str:
    return f"{money_text(price)} an hour" if price else "nothing"


__all__ = ["DISRUPTION", "Claim", "claim_of", "held", "micros", "new_claim", "price_words"]
