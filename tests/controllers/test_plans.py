"""Plans as values: literals in, actions out, no server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.api import objects
from iacorch.api.catalogue import CONFIG_MAP, POD
from iacorch.api.objects import Object
from iacorch.controllers import naming
from iacorch.controllers.actions import Create, Delete, Patch, Plan, Replace
from iacorch.controllers.endpointslice import plan as endpointslice
from iacorch.controllers.garbage.plan import Dependent, Observed, Owner
from iacorch.controllers.garbage.plan import plan as garbage_plan
from iacorch.controllers.node.plan import tolerated_seconds, wanted_taints
from iacorch.controllers.node.silence import Verdict
from iacorch.controllers.replicaset.plan import deletion_order

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(name: str, *, ready: bool = True, node: str = "n1", phase: str = "Running", **fields: Any) -> Object:
    status: Object = {
        "phase": phase,
        "podIP": fields.get("ip", "10.0.0.1"),
        "conditions": [
            {
                "type": "Ready",
                "status": "True" if ready else "False",
                "lastTransitionTime": fields.get("since", "2026-01-01T11:00:00Z"),
            }
        ],
        "containerStatuses": [{"restartCount": fields.get("restarts", 0)}],
    }
    metadata: Object = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "creationTimestamp": fields.get("created", "2026-01-01T10:00:00Z"),
        "annotations": fields.get("annotations", {}),
        "ownerReferences": fields.get("owners", []),
    }
    if fields.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T11:59:00Z"
    spec = {"nodeName": node, "containers": fields.get("containers", []), "tolerations": fields.get("tolerations", [])}
    return {"metadata": metadata, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("goes", "stays"),
    [
        pytest.param(pod("x", node=""), pod("a"), id="not-placed"),
        pytest.param(pod("x", phase="Pending"), pod("a"), id="pending"),
        pytest.param(pod("x", ready=False), pod("a"), id="not-ready"),
        pytest.param(
            pod("x", annotations={"controller.kubernetes.io/pod-deletion-cost": "-1"}), pod("a"), id="cheaper"
        ),
        pytest.param(pod("x", since="2026-01-01T11:30:00Z"), pod("a"), id="ready-for-a-shorter-time"),
        pytest.param(pod("x", restarts=3), pod("a"), id="more-restarts"),
        pytest.param(pod("x", created="2026-01-01T10:30:00Z"), pod("a"), id="younger"),
    ],
)
def test_who_goes_first(goes: Object, stays: Object) -> None:
    assert [objects.name(entry) for entry in deletion_order((stays, goes))] == ["x", "a"]


def test_of_pods_that_share_a_node_one_goes_first() -> None:
    order = deletion_order((pod("alone", node="n2"), pod("x"), pod("y")))
    assert [objects.name(entry) for entry in order][-1] in ("alone", "y")
    assert objects.name(order[0]) == "x"


def test_names_are_the_same_every_time_and_fit_a_dns_label() -> None:
    first = naming.free_names("web-abc", "uid", taken=(), count=3)
    assert first == naming.free_names("web-abc", "uid", taken=(), count=3)
    assert len(set(first)) == 3
    assert naming.free_names("web-abc", "uid", taken=first[:2], count=1) == first[2:]
    assert len(naming.child_name("x" * 80, "uid", 0)) == 63


def service(**spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "default", "uid": "s"},
        "spec": {"selector": {"app": "web"}, "ports": ports, **spec},
    }


def serving(name: str, port: int = 8080, **fields: Any) -> Object:
    return pod(name, containers=[{"ports": [{"name": "web", "containerPort": port}]}], **fields)


@pytest.mark.parametrize(
    ("obj", "conditions"),
    [
        pytest.param(serving("a"), (True, True, False), id="ready"),
        pytest.param(serving("a", ready=False), (False, False, False), id="not-ready"),
        pytest.param(serving("a", deleting=True), (False, True, True), id="ending-but-serving"),
        pytest.param(serving("a", phase="Failed"), None, id="over"),
        pytest.param(serving("a", ip=""), None, id="no-address"),
    ],
)
def test_what_a_pod_is_as_an_endpoint(obj: Object, conditions: tuple[bool, bool, bool] | None) -> None:
    endpoint = endpointslice.endpoint_of(service(), obj, {})
    found = endpoint["conditions"] if endpoint is not None else None
    assert (found and (found["ready"], found["serving"], found["terminating"])) == conditions


def created(plan: Plan) -> list[Object]:
    return [action.obj for action in plan.actions if isinstance(action, Create)]


def test_slices_hold_a_hundred_and_change_one_at_a_time() -> None:
    pods = tuple(serving(f"p{number:03}") for number in range(250))
    slices = created(endpointslice.plan(endpointslice.Observed(service(), pods, ())))
    assert [len(entry["endpoints"]) for entry in slices] == [100, 100, 50]
    stored = tuple(objects.with_metadata(entry, uid=objects.name(entry)) for entry in slices)
    assert endpointslice.plan(endpointslice.Observed(service(), pods, stored)).actions == ()
    changed = (serving("p000", ready=False), *pods[1:])
    (action,) = endpointslice.plan(endpointslice.Observed(service(), changed, stored)).actions
    assert isinstance(action, Replace)


def test_a_named_port_that_differs_between_pods_makes_slices_of_its_own() -> None:
    observed = endpointslice.Observed(service(), (serving("a"), serving("b", 9090)), ())
    slices = created(endpointslice.plan(observed))
    assert sorted(entry["ports"][0]["port"] for entry in slices) == [8080, 9090]


def test_a_service_without_pods_has_one_empty_slice_and_one_without_selector_none() -> None:
    (empty,) = created(endpointslice.plan(endpointslice.Observed(service(), (), ())))
    assert empty["endpoints"] == []
    assert endpointslice.plan(endpointslice.Observed(service(selector=None), (), ())).actions == ()


def owned(count: int, **metadata: Any) -> Object:
    references = [{"apiVersion": "v1", "kind": "Pod", "name": f"o{n}", "uid": f"o{n}"} for n in range(count)]
    return {"metadata": {"name": "x", "namespace": "d", "uid": "x", "ownerReferences": references, **metadata}}


@pytest.mark.parametrize(
    ("obj", "owners", "dependents", "expected"),
    [
        pytest.param(owned(0), (), 0, None, id="nobody-owns-it"),
        pytest.param(owned(1), (Owner.LIVING,), 0, None, id="owner-lives"),
        pytest.param(owned(1), (Owner.GONE,), 0, Delete, id="owner-gone"),
        pytest.param(owned(2), (Owner.GONE, Owner.LIVING), 0, Patch, id="one-of-two-owners-gone"),
        pytest.param(owned(1), (Owner.WAITING,), 0, Delete, id="owner-waits"),
        pytest.param(owned(1, deletionTimestamp="t"), (), 0, None, id="leaving-already"),
        pytest.param(
            owned(0, deletionTimestamp="t", finalizers=["foregroundDeletion"]), (), 0, Patch, id="waited-long-enough"
        ),
        pytest.param(
            owned(0, deletionTimestamp="t", finalizers=["foregroundDeletion"]), (), 1, None, id="still-waiting"
        ),
        pytest.param(owned(0, deletionTimestamp="t", finalizers=["orphan"]), (), 1, Patch, id="lets-dependents-go"),
    ],
)
def test_what_becomes_of_garbage(
    obj: Object, owners: tuple[Owner, ...], dependents: int, expected: type | None
) -> None:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x", "blockOwnerDeletion": True}
    child: Object = {"metadata": {"name": "c", "namespace": "d", "uid": "c", "ownerReferences": [reference]}}
    entries = tuple(Dependent(POD, child) for _ in range(dependents))
    actions = garbage_plan(Observed(CONFIG_MAP, obj, owners, entries)).actions
    assert [type(action) for action in actions] == ([expected] if expected else [])


def lost_taint(seconds_ago: int) -> dict[str, Any]:
    moment = datetime.fromtimestamp(NOW.timestamp() - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": moment}


CONTROLLED = [{"kind": "ReplicaSet", "name": "r", "uid": "r", "controller": True}]


@pytest.mark.parametrize(
    ("obj", "taint", "seconds"),
    [
        pytest.param(pod("a", owners=CONTROLLED), lost_taint(0), 1.0, id="default-toleration"),
        pytest.param(pod("a", owners=CONTROLLED), lost_taint(5), 0.0, id="default-is-over"),
        pytest.param(pod("a"), lost_taint(60), None, id="nobody-would-replace-it"),
        pytest.param(
            pod("a", tolerations=[{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}]),
            lost_taint(20),
            40.0,
            id="what-it-says-itself",
        ),
        pytest.param(pod("a"), {"key": "mine", "effect": "NoExecute"}, 0.0, id="somebody-elses-taint"),
        pytest.param(pod("a"), {"key": "mine", "effect": "NoSchedule"}, None, id="no-schedule-evicts-nobody"),
    ],
)
def test_how_long_a_pod_may_stay(obj: Object, taint: dict[str, Any], seconds: float | None) -> None:
    assert tolerated_seconds(obj, [taint], now=NOW) == seconds


@pytest.mark.parametrize(
    ("verdict", "ready", "expected"),
    [
        pytest.param(Verdict.HEARD, "True", [], id="well"),
        pytest.param(Verdict.HEARD, "False", ["not-ready:NoSchedule", "not-ready:NoExecute"], id="says-not-ready"),
        pytest.param(Verdict.HEARD, "Unknown", ["not-ready:NoSchedule"], id="about-to-report"),
        pytest.param(Verdict.HELD, "Unknown", ["unreachable:NoSchedule"], id="held"),
        pytest.param(Verdict.LOST, "Unknown", ["unreachable:NoSchedule", "unreachable:NoExecute"], id="lost"),
    ],
)
def test_which_taints_a_node_has(verdict: Verdict, ready: str, expected: list[str]) -> None:
    foreign = {"key": "mine", "effect": "NoSchedule"}
    node = {
        "metadata": {"name": "n"},
        "spec": {"taints": [foreign]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }
    first, *ours = wanted_taints(node, verdict, now=NOW)
    assert first == foreign
    assert [f"{taint['key'].removeprefix('node.kubernetes.io/')}:{taint['effect']}" for taint in ours] == expected
