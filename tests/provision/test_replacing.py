"""Who makes way for whom: names of claims are used again, so that it goes by their UIDs."""

from __future__ import annotations

from datetime import timedelta

from iacorch.api.objects import Object
from iacorch.controllers.actions import Delete
from iacorch.provision.decisions.plan import Observed, decide
from iacorch.provision.pools.claim import Claim, claim_of
from iacorch.provision.pools.words import REPLACES
from tests.provision.build import NOW, claim, claim_object, node, offer, pool_object

CLASS: Object = {"metadata": {"name": "class", "uid": "class"}, "spec": {"driver": "fake"}}


def removed(*claims: Claim) -> list[str]:
    observed = Observed(
        pools=(pool_object(disruption={"consolidationPolicy": "Never"}),),
        classes={"class": CLASS},
        claims=claims,
        nodes={each.node_name: node(each.node_name) for each in claims},
        pods=(),
        offers={"class": (offer(),)},
    )
    return [action.name for action in decide(observed, now=NOW).plan.actions if isinstance(action, Delete)]


def successor(uid: str, *, ready: bool = True) -> Claim:
    return claim("burst-2", annotations={REPLACES: uid}, ready=ready)


def test_a_claim_goes_when_its_successor_is_ready() -> None:
    old = claim("burst-1", created=NOW - timedelta(hours=1))
    assert removed(old, successor("uid-burst-1", ready=False)) == []
    assert removed(old, successor("uid-burst-1")) == ["burst-1"]


def test_a_new_claim_is_not_taken_for_the_one_that_had_its_name() -> None:
    """The first burst-1 is gone; burst-2 took its place, and stays; another machine has got the name since."""
    obj = claim_object("burst-1")
    obj["metadata"]["uid"] = "another"
    assert removed(successor("uid-burst-1"), claim_of(obj)) == []
