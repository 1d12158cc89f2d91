"""Deployments and Services that lack pods, where no pod's finding says why; else what follows of it. Pure.

In: a `World`, the findings so far. Out: findings, those so far with what follows of them (`so`). Called by `explain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.kit.text import near
from iacorch.why.model import Finding, Rank, Step, World, in_namespace, is_ready, label, statuses


def findings(world: World, so_far: Sequence[Finding]) -> list[Finding]:
    """`so_far`, then what is wrong with workloads alone."""
    found, alone = list(so_far), []
    for deployment in world.deployments:
        consequence, cause = _deployment(deployment, world)
        if consequence and not _follows(found, consequence, world.pods_of(deployment), world) and cause:
            alone.append(cause)
    for service in world.services:
        consequence, cause = _service(service, world)
        if consequence and not _follows(found, consequence, world.pods_behind(service), world) and cause:
            alone.append(cause)
    return [*found, *alone]


def _follows(found: list[Finding], consequence: str, pods: Sequence[Object], world: World) -> bool:
    """Add the consequence to what explains its pods; False where nothing does."""
    labels = {label(pod, "Pod") for pod in pods}
    nodes = {f"Node {objects.spec(pod).get('nodeName')}" for pod in pods if not is_ready(pod)}
    hits = [
        at
        for at, finding in enumerate(found)
        if (finding.rank is Rank.CLUSTER and labels)
        or (finding.rank is not Rank.REMARK and (labels & set(finding.about) or nodes & set(finding.about)))
    ]
    for at in hits:
        if consequence not in found[at].so:
            found[at] = replace(found[at], so=(*found[at].so, consequence))
    return bool(hits)


def _deployment(deployment: Object, world: World) -> tuple[str, Finding | None]:
    spec, status = objects.spec(deployment), objects.status(deployment)
    wanted, there = int(spec.get("replicas", 1)), int(status.get("availableReplicas") or 0)
    name, space, about = objects.name(deployment), in_namespace(deployment), label(deployment, "Deployment")
    if wanted == 0:
        return about, Finding(Rank.REMARK, f"{about} is scaled to 0", (about,),
                              steps=(Step(f"kubectl {space}scale deployment/{name} --replicas=1"),))  # fmt: skip
    refused = objects.condition(deployment, "ReplicaFailure") or {}
    if refused.get("status") == "True":
        return about, Finding(Rank.WORKLOAD, *_refused(about, str(refused.get("message") or ""), space, name))
    generation = objects.metadata(deployment).get("generation")
    if generation is not None and status.get("observedGeneration") not in (generation, None) and there < wanted:
        return "", None  # it is being looked at right now
    updated = int(status.get("updatedReplicas") or 0)
    if spec.get("paused") and updated < wanted:
        words = f"{about} is paused: what was changed is not rolled out"
        return words, Finding(Rank.REMARK, words, (about,),
                              steps=(Step(f"kubectl {space}rollout resume deployment/{name}"),))  # fmt: skip
    if there >= wanted and updated >= wanted:
        return "", None
    if there >= wanted:
        return f"the rollout of {about} stands still at {updated} of {wanted} new pods; the old ones serve on", None
    words = f"{about} has {there} of {wanted} pods available"
    return words, Finding(
        Rank.WORKLOAD, words, (about,),
        tuple(str(c.get("message")) for c in objects.conditions(deployment) if c.get("status") == "False"),
        (Step(f"kubectl {space}rollout status deployment/{name}"), Step(f"kubectl {space}describe deployment/{name}")),
    )  # fmt: skip


def _refused(
    about: str, message: str, space: str, name: str
) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[Step, ...]]:
    if "exceeded quota" in message:
        return f"no pods can be made for {about}: the namespace's quota is used up", (about,), (message,), (
            Step(f"kubectl {space}describe quota", "what is used, and what may be"),
            Step(f"kubectl {space}scale deployment/{name} --replicas=...", "or fewer pods, or smaller requests"),
        )  # fmt: skip
    steps = (Step(f"kubectl {space}describe deployment/{name}", "its events"),)
    return f"no pods can be made for {about}: {message or 'the API refuses them'}", (about,), (), steps


def _service(service: Object, world: World) -> tuple[str, Finding | None]:
    spec = objects.spec(service)
    name, space, about = objects.name(service), in_namespace(service), label(service, "Service")
    if not spec.get("selector") or spec.get("type") == "ExternalName":
        return "", None
    behind = [pod for pod in world.pods_behind(service) if not objects.is_deleting(pod)]
    ready = [pod for pod in behind if is_ready(pod)]
    shown = ",".join(f"{k}={v}" for k, v in spec["selector"].items())
    asleep = next((d for d in world.deployments if _would_serve(d, service)), None)
    if not behind and asleep is not None:
        owner, name_of_it = label(asleep, "Deployment"), objects.name(asleep)
        if int(objects.spec(asleep).get("replicas", 1)):
            return "", None  # that it has no pods is said of it
        words = f"{about} leads nowhere, as {owner} is scaled to 0"
        return words, Finding(
            Rank.TRAFFIC, words, (about, owner), (),
            (Step(f"kubectl {space}scale deployment/{name_of_it} --replicas=1"),),
        )  # fmt: skip
    if not behind:
        there = sorted({
            f"{k}={v}" for pod in world.pods if objects.namespace(pod) == objects.namespace(service)
            for k, v in objects.labels(pod).items()
        })  # fmt: skip
        close = [each for each in near(shown, there, most=1) if each != shown]
        means = f"; did you mean {close[0]}?" if close else ""
        words = f"{about} leads nowhere: no pod has the labels {shown}{means}"
        return words, Finding(
            Rank.TRAFFIC, words, (about,), (),
            (Step(f"kubectl {space}get pods --show-labels", "what there is"),
             Step(f"kubectl {space}edit service/{name}", "its selector")),
        )  # fmt: skip
    for port in spec.get("ports") or ():
        target = port.get("targetPort")
        if isinstance(target, str) and not any(_has_port(pod, target) for pod in behind):
            named = sorted({str(p.get("name")) for pod in behind for p in _ports(pod) if p.get("name")})
            words = f"{about} leads nowhere: its targetPort {target!r} is the name of no port of its pods"
            have = f"they have {', '.join(named)}" if named else "their ports have no names; give a number"
            return words, Finding(
                Rank.TRAFFIC, words, (about,), (have,), (Step(f"kubectl {space}edit service/{name}", "its targetPort"),)
            )
    if ready and len(ready) == len(behind):
        return "", None
    words = f"{about} answers from {len(ready)} of its {len(behind)} pods"
    if ready:
        return words, None
    words = f"{about} does not answer: none of its {len(behind)} pods is ready"
    return words, Finding(Rank.TRAFFIC, words, (about,), (), (Step(f"kubectl {space}get pods -l {shown}"),))


def _would_serve(deployment: Object, service: Object) -> bool:
    """The pods that it would make are the Service's."""
    made = (objects.spec(deployment).get("template") or {}).get("metadata") or {}
    selector = selectors.from_map(objects.spec(service).get("selector"))
    return objects.namespace(deployment) == objects.namespace(service) and selector.matches(made.get("labels") or {})


def _ports(pod: Object) -> Iterator[dict[str, object]]:
    for container, _, _ in statuses(pod):
        yield from container.get("ports") or ()


def _has_port(pod: Object, name: str) -> bool:
    return any(port.get("name") == name for port in _ports(pod))
