"""Why: given objects as the API has them, what is said, of what, and what to type next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iacorch.kit.clock import rfc3339
from iacorch.why import page
from iacorch.why.explain import explain, fine
from iacorch.why.model import Finding, Focus, Rank, World

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EARLIER = rfc3339(NOW - timedelta(minutes=10))


def node(
    name: str = "n1", *, ready: str = "True", reason: str = "", message: str = "", cpu: str = "2", **spec: Any
) -> Any:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message, "lastTransitionTime": EARLIER}
    return {
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name, "disk": "ssd"}},
        "spec": spec,
        "status": {"conditions": [condition], "allocatable": {"cpu": cpu, "memory": "4Gi"}},
    }


def pod(
    name: str = "web-1",
    *,
    on: str = "n1",
    state: dict[str, Any] | None = None,
    ready: bool = False,
    owner: str = "web-rs",
    scheduled: str = "",
    last: dict[str, Any] | None = None,
    restarts: int = 0,
    deleted: str = "",
    labels: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    **container: Any,
) -> Any:
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": name, "labels": labels or {"app": "web"}}
    if owner:
        metadata["ownerReferences"] = [{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}]
    if deleted:
        metadata["deletionTimestamp"] = deleted
    told = {"name": "app", "state": state or {"running": {}}, "ready": ready, "restartCount": restarts}
    placed = {"type": "PodScheduled", "status": "False" if scheduled else "True", "lastTransitionTime": EARLIER}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "app", "image": "shop:1", **container}], **({"nodeName": on} if on else {})},
        "status": {
            "phase": "Running",
            "conditions": [{**placed, "message": scheduled}, {"type": "Ready", "status": str(ready)}],
            "containerStatuses": [told | ({"lastState": {"terminated": last}} if last else {})] if on else [],
            **(status or {}),
        },
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def replica_set(name: str = "web-rs", deployment: str = "web") -> Any:
    owner = {"kind": "Deployment", "name": deployment, "uid": deployment, "controller": True}
    return {"metadata": {"name": name, "namespace": "default", "uid": name, "ownerReferences": [owner]}}


def deployment(available: int = 0, *, replicas: int = 1, updated: int = 1, **more: Any) -> Any:
    template = {"metadata": {"labels": {"app": "web"}}}
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "web"},
        "spec": {"replicas": replicas, "template": template},
        "status": {"availableReplicas": available, "updatedReplicas": updated, **more},
    }


def service(selector: dict[str, str] | None = None, port: Any = 80) -> Any:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "svc"},
        "spec": {"selector": selector or {"app": "web"}, "ports": [{"port": 80, "targetPort": port}]},
    }


def warning(about: str, reason: str, message: str) -> Any:
    return {"type": "Warning", "reason": reason, "message": message, "involvedObject": {"uid": about},
            "lastTimestamp": EARLIER}  # fmt: skip


NO_COMMAND = {
    "exitCode": 127, "reason": "StartError", "message": 'runc: exec: "srv": executable file not found in $PATH'
}  # fmt: skip
CRASHED = {"exitCode": 1, "reason": "Error", "finishedAt": EARLIER}
PULL = 'failed to pull image "shop:1": '


def one(*, events: tuple[Any, ...] = (), **world: Any) -> World:
    given = {"nodes": (node(),), "replica_sets": (replica_set(),), **world}
    return World(NOW, events=events, **given)


def condition(type_: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": EARLIER}


def pool(*conditions: dict[str, str]) -> Any:
    return {"metadata": {"name": "burst", "uid": "p"}, "spec": {}, "status": {"conditions": list(conditions)}}


def claim(*conditions: dict[str, str], node: str = "", **metadata: Any) -> Any:
    labels = {"iacorch.dev/nodepool": "burst"}
    return {
        "metadata": {"name": "burst-1", "uid": "c", "labels": labels, **metadata},
        "status": {"conditions": list(conditions), **({"nodeName": node} if node else {})},
    }


CASES = [
    pytest.param(one(pods=(pod(ready=True),)), [], [], id="nothing is wrong"),
    pytest.param(
        World(NOW), ["the cluster has no nodes, so no pod can run"], ["iacorch up", "iacorch preview"], id="no nodes"
    ),
    pytest.param(
        one(nodes=(), pods=(pod(on="", scheduled="0/0 nodes are available"),), deployments=(deployment(),)),
        ["the cluster has no nodes, so no pod can run"],
        None,
        id="no nodes, and pods that wait",
    ),
    pytest.param(
        one(nodes=(node(ready="Unknown", reason="NodeStatusUnknown", message="silent"),),
            pods=(pod(ready=False), pod("web-2"))),
        ["node n1 is silent: its machine or its agent is down, or the network between"],
        ["iacorch drift --layer machine", "iacorch refresh && iacorch up", "kubectl delete node n1"],
        id="a silent node explains its pods",
    ),
    pytest.param(
        one(nodes=tuple(node(name, ready="Unknown", reason="FleetSilent") for name in ("n1", "n2"))),
        ["2 of 2 nodes went silent together: the control plane does not hear them"],
        ["iacorch drift --layer machine", "iacorch drift --layer node"],
        id="many silent nodes are one thing",
    ),
    pytest.param(
        one(nodes=(node(ready="False", reason="ContainerRuntimeDown", message="no answer"),)),
        ["node n1 has no container runtime: its Docker Engine does not answer"],
        ["iacorch drift --correct --layer node", "iacorch drift --layer machine"],
        id="Docker is dead",
    ),
    pytest.param(
        one(nodes=(node(unschedulable=True),)), ["node n1 is cordoned by hand (kubectl cordon or drain): no new pod "
                                                 "starts there"], ["kubectl uncordon n1"], id="cordoned: a remark",
    ),
    pytest.param(
        one(nodes=(node(unschedulable=True),), claims=(claim(node="n1", deletionTimestamp=EARLIER),)),
        [], [], id="drained by its pool: as it should be",
    ),
    pytest.param(
        one(pools=(pool(condition("RepairsStopped", "True", message="2 of 3 machines are unhealthy at once"),),),
            claims=(claim(condition("Initialized", "True"), condition("Ready", "False", message="shh"), node="n1"),)),
        ["the repairs of pool burst have stopped: 2 of 3 machines are unhealthy at once"],
        ["iacorch drift --layer machine", "kubectl describe nodepool burst"],
        id="a pool that mends nothing any more; its node is the node's to explain",
    ),
    pytest.param(
        one(claims=(claim(condition("Initialized", "True"), condition("Ready", "False", message="gone"), node="n9"),)),
        ["the machine of NodeClaim burst-1 does not become a node: gone"],
        None,
        id="a claim whose node nobody knows",
    ),
    pytest.param(
        one(pools=(pool(condition("Ready", "True"), condition("CanGrow", "False", "NoOffering", "all were refused")),)),
        ["pool burst cannot make machines: all were refused"],
        ["kubectl describe nodepool burst", "kubectl get machineclasses -o yaml"],
        id="a pool that gets nothing",
    ),
    pytest.param(
        one(pools=(pool(condition("Ready", "True"), condition("CanGrow", "False", "MachinesLimit", "it has 3 of 3")),)),
        [], [], id="a pool that is full: as somebody wanted it",
    ),
    pytest.param(
        one(pods=(pod(on="", scheduled="0/1 nodes are available: 1 Insufficient cpu.",
                      resources={"requests": {"cpu": "8"}}),)),
        ["no node takes it: it asks for 8 of cpu, the most that is free is 2 (n1), and no node is larger than 2"],
        ["kubectl set resources deployment/web --requests=cpu=AMOUNT"],
        id="larger than every node",
    ),
    pytest.param(
        one(pods=(pod(on="", scheduled="0/1 nodes are available: 1 Insufficient cpu.",
                      resources={"requests": {"cpu": "1"}}),
                  pod("other", ready=True, owner="", resources={"requests": {"cpu": "1500m"}}))),
        ["no node takes it: it asks for 1 of cpu, the most that is free is 500m (n1)"],
        ["kubectl set resources deployment/web --requests=cpu=AMOUNT", "iacorch config set workers N && iacorch up"],
        id="no room now",
    ),
    pytest.param(
        one(nodes=(node(taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]),),
            pods=(pod(on="", scheduled="0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}."),)),
        ["no node takes it: n1 tainted gpu=yes, which it does not tolerate"],
        ["kubectl taint node n1 gpu-"],
        id="a taint",
    ),
    pytest.param(
        one(nodes=(node(unschedulable=True), node("n2", ready="False", reason="x", message="no")),
            pods=(pod(on="", scheduled="0/2 nodes are available: 1 node(s) were not ready, "
                                       "1 node(s) were unschedulable."),)),
        ["node n2 is not ready: no", "no node takes it: n2 not ready; n1 cordoned", "node n1 is cordoned by hand "
         "(kubectl cordon or drain): no new pod starts there"],
        None,
        id="the node before the pod, the remark last",
    ),
    pytest.param(
        one(pods=({**pod(on="", scheduled="0/1 nodes: 1 node(s) didn't match Pod's node affinity/selector"),
                   "spec": {"nodeSelector": {"disk": "sdd"}, "containers": []}},)),
        ["no node takes it: no node has the label disk=sdd; did you mean disk=ssd?"],
        ["kubectl label node n1 disk=sdd"],
        id="a label that no node has",
    ),
    pytest.param(
        one(pods=(pod(state=waiting("ImagePullBackOff", PULL + "manifest unknown")),
                  pod("web-2", state=waiting("ErrImagePull", PULL + "manifest unknown")),
                  pod("old", owner="web-old", ready=True, image="shop:0")),
            replica_sets=(replica_set(), replica_set("web-old"))),
        ["there is no image shop:1, neither on the node nor in docker.io; did you mean shop:0, which runs here?"],
        ["iacorch image load shop:1", "kubectl rollout undo deployment/web"],
        id="an image that does not exist, once for two pods",
    ),
    pytest.param(
        one(pods=(pod(state=waiting("ErrImagePull", PULL + "dial tcp: lookup registry-1.docker.io: no such host")),)),
        ["the image shop:1 is not on the node, and docker.io cannot be reached from there"],
        ["iacorch image load shop:1"],
        id="a registry out of reach",
    ),
    pytest.param(
        one(pods=(pod(image="r.example.com/a/b:2", state=waiting("ErrImagePull", "pull access denied")),)),
        ["r.example.com gives out no image r.example.com/a/b:2: it does not exist there, or it is private"],
        ["iacorch image load r.example.com/a/b:2", "docker manifest inspect r.example.com/a/b:2"],
        id="a private image",
    ),
    pytest.param(
        one(pods=(pod(state=waiting("CrashLoopBackOff"), last=CRASHED, restarts=4),),
            logs={"default/web-1/app": "starting\nno such table: users\n"}),
        ["container app crashes: exit code 1"],
        ["kubectl logs web-1 --previous"],
        id="a crash, with its last words",
    ),
    pytest.param(
        one(pods=(pod(state=waiting("CrashLoopBackOff"), last={"exitCode": 137, "reason": "OOMKilled"},
                      resources={"limits": {"memory": "64Mi"}}),)),
        ["container app crashes: it needs more memory than its limit of 64Mi (OOMKilled)"],
        ["kubectl set resources deployment/web -c app --limits=memory=...", "kubectl logs web-1 --previous"],
        id="too little memory",
    ),
    pytest.param(
        one(pods=(pod(state=waiting("CrashLoopBackOff"), last={"exitCode": 137, "reason": "Error"}),),
            events=(warning("web-1", "Unhealthy", "Liveness probe failed: connection refused"),)),
        ["container app is restarted over and over, since its liveness probe fails"],
        ["kubectl logs web-1 --previous", "kubectl edit deployment/web"],
        id="a liveness probe that kills",
    ),
    pytest.param(
        one(pods=(pod("solo", owner="", state=waiting("CrashLoopBackOff"), last=NO_COMMAND),)),
        ["container app cannot be started: its image has no command 'srv'"],
        ["kubectl get pod solo -o yaml > pod.yaml"],
        id="a command that is not there, in a pod without an owner",
    ),
    pytest.param(
        one(pods=(pod(),), events=(warning("web-1", "Unhealthy", "Readiness probe failed: 503"),)),
        ["app runs and is not ready: its readiness probe fails"],
        ["kubectl logs web-1", "kubectl edit deployment/web"],
        id="a readiness probe",
    ),
    pytest.param(
        one(pods=(pod(state=waiting("CreateContainerConfigError", "configmap \"settings\" not found")),)),
        ["container app cannot start: configmap \"settings\" not found"],
        ["kubectl get configmaps", "kubectl describe pod web-1"],
        id="a ConfigMap that is missing",
    ),
    pytest.param(
        one(pods=(pod(state=waiting("CreateContainerConfigError",
                                    "couldn't find key COLOUR in ConfigMap default/settings; it has colour, mode")),)),
        ["container app cannot start: couldn't find key COLOUR in ConfigMap default/settings; it has colour, mode"],
        ["kubectl edit configmap settings", "kubectl describe pod web-1"],
        id="a key that is missing",
    ),
    pytest.param(
        one(pods=(pod(status={"phase": "Failed"}, state={"terminated": {"exitCode": 127}}),)),
        ["container app ended, and its restartPolicy starts it no more: exit code 127, its command is not there: see "
         "command and args, and what the image has"],
        ["kubectl logs web-1"],
        id="failed for good",
    ),
    pytest.param(one(pods=(pod(deleted=rfc3339(NOW)),)), [], [], id="on its way out"),
    pytest.param(
        one(pods=(pod(deleted=EARLIER),)), ["it is deleted, and its containers do not end"], None, id="does not go"
    ),
    pytest.param(
        one(pods=(pod(ready=True, restarts=5, last=CRASHED),)),
        ["container app runs, and has crashed before: exit code 1"], None, id="well again: a remark",
    ),
    pytest.param(
        one(deployments=(deployment(conditions=[{"type": "ReplicaFailure", "status": "True",
                                                 "message": "exceeded quota: small, used: pods=2"}]),)),
        ["no pods can be made for Deployment default/web: the namespace's quota is used up"],
        ["kubectl describe quota", "kubectl scale deployment/web --replicas=..."],
        id="a full quota",
    ),
    pytest.param(
        one(deployments=(deployment(replicas=0),)), ["Deployment default/web is scaled to 0"], None, id="scaled to 0"
    ),
    pytest.param(
        one(deployments=(deployment(replicas=0),), services=(service(),)),
        ["Service default/web leads nowhere, as Deployment default/web is scaled to 0",
         "Deployment default/web is scaled to 0"],
        None,
        id="nobody answers, as it is scaled to 0",
    ),
    pytest.param(
        one(services=(service({"app": "wbe"}),), pods=(pod(ready=True),)),
        ["Service default/web leads nowhere: no pod has the labels app=wbe; did you mean app=web?"],
        ["kubectl get pods --show-labels", "kubectl edit service/web"],
        id="a selector that matches nothing",
    ),
    pytest.param(
        one(services=(service(port="http"),), pods=(pod(ready=True, ports=[{"name": "web", "containerPort": 80}]),)),
        ["Service default/web leads nowhere: its targetPort 'http' is the name of no port of its pods"],
        ["kubectl edit service/web"],
        id="a port that is not there",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("world", "causes", "commands"), CASES)
def test_causes_and_commands(world: World, causes: list[str], commands: list[str] | None) -> None:
    found = explain(world)
    assert [f.cause for f in found] == causes
    if commands is not None:
        assert [step.command for f in found for step in f.steps] == commands


@pytest.mark.parametrize(("world", "causes", "commands"), CASES)
@pytest.mark.parametrize("width", [60, 120])
def test_pages_fit_but_for_commands(world: World, causes: list[str], commands: list[str] | None, width: int) -> None:
    for line in page.lines(explain(world), fine(world), width=width):
        assert len(line) <= width or "next:" in line or line.startswith("     ")


BROKEN = one(
    pods=(
        pod(state=waiting("CrashLoopBackOff"), last=CRASHED, restarts=4),
        pod("web-2", state=waiting("CrashLoopBackOff"), last=CRASHED, restarts=2),
        pod("db-1", owner="", labels={"app": "db"}, ready=True),
    ),
    deployments=(deployment(0, replicas=2, updated=2),),
    services=(service(),),
    logs={"default/web-1/app": "starting\nno such table: users\n"},
)


def test_what_follows_is_said_with_its_cause() -> None:
    text = list(page.lines(explain(BROKEN), fine(BROKEN), width=100))
    assert text == [
        "1. Deployment default/web: container app crashes: exit code 1",
        "   in 2 pods: web-1, web-2",
        "   | restarted 4 times",
        "   | log: starting",
        "   | log: no such table: users",
        "   so Deployment default/web has 0 of 2 pods available",
        "   so Service default/web does not answer: none of its 2 pods is ready",
        "   next: kubectl logs web-1 --previous   what it said before it ended",
        "",
        "1 thing to mend; 1 of 1 node and 1 of 3 pods are ready",
    ]


@pytest.mark.parametrize(
    ("focus", "count"),
    [
        pytest.param(Focus("Pod", "default", "web-2"), 1, id="its pod"),
        pytest.param(Focus("Deployment", "default", "web"), 1, id="its Deployment"),
        pytest.param(Focus("Service", "default", "web"), 1, id="its Service"),
        pytest.param(Focus("Node", "", "n1"), 1, id="its node"),
        pytest.param(Focus("Pod", "default", "db-1"), 0, id="another pod"),
    ],
)
def test_narrowed_to_what_was_asked_about(focus: Focus, count: int) -> None:
    assert len(explain(BROKEN, focus)) == count


def test_a_pod_without_a_node_shows_the_nodes_that_are_not_well() -> None:
    refused = "0/1 nodes are available: 1 node(s) were not ready."
    world = one(nodes=(node("n1", ready="Unknown"),), pods=(pod(on="", scheduled=refused),))
    found = explain(world, Focus("Pod", "default", "web-1"))
    assert [f.rank for f in found] == [Rank.NODE, Rank.POD]


def test_drift_is_evidence_of_a_node_that_is_not_well() -> None:
    drifted = {"layer": "node", "node": "n1", "kind": "Service", "name": "docker.service", "verdict": "missing"}
    report = {"status": {"findings": [drifted], "checkedTime": "2026-01-01T11:59:00Z"}}
    world = one(nodes=(node(ready="False", reason="ContainerRuntimeDown"),), reports=(report,))
    assert explain(world)[0].evidence[:2] == (
        "drift: Service docker.service is missing", "drift: as it was looked at 2026-01-01T11:59:00Z"
    )  # fmt: skip


def test_what_is_fine_is_said() -> None:
    world = one(pods=(pod(ready=True),))
    assert fine(world) == "1 of 1 node and 1 of 1 pod are ready"
    assert fine(world, Focus("Pod", "default", "web-1")) == "Pod default/web-1 is fine: Running on n1"
    assert list(page.lines((), fine(world), width=80)) == [fine(world)]


def test_pods_on_their_way_out_are_not_counted_with_those_that_are_wanted() -> None:
    world = one(pods=(pod(ready=True), pod("web-2", ready=True, deleted=rfc3339(NOW))))
    assert fine(world) == "1 of 1 node and 1 of 1 pod are ready; 1 pod is ending"


def test_json_has_all_of_it() -> None:
    document = page.to_json(explain(BROKEN), "x", ("events: forbidden",))
    (finding,) = document["findings"]
    assert set(finding) == {"rank", "cause", "about", "evidence", "consequences", "next"}
    assert (finding["rank"], document["unseen"]) == ("pod", ["events: forbidden"])


def test_findings_of_two_owners_stay_two() -> None:
    looping = waiting("CrashLoopBackOff")
    world = one(pods=(pod(state=looping, last=CRASHED), pod("b", owner="", state=looping, last=CRASHED)))
    found: tuple[Finding, ...] = explain(world)
    assert [f.about for f in found] == [("Pod default/b",), ("Pod default/web-1",)]
