"""Everything that is wrong, each cause once, what explains most first. Pure.

In: a `World`, and what a person asked about. Out: findings in order; a sentence where there is none. Called by the
command line; the table of cases is `tests/why`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from iacorch.api import objects
from iacorch.kit.text import plural
from iacorch.why import nodes, pods, workloads
from iacorch.why.model import Finding, Focus, Rank, World, is_over, is_ready, label


def explain(world: World, focus: Focus | None = None) -> tuple[Finding, ...]:
    """Narrowed to what has to do with `focus`, where one is given."""
    found = _merged([*nodes.findings(world), *pods.findings(world)])
    found = _merged(workloads.findings(world, found))
    if focus is not None:
        wanted = related(world, focus)
        found = [f for f in found if f.rank is Rank.CLUSTER or wanted & set(f.about)]
        own = str(focus)
        # A remark is worth a line about the very object, not about all that has to do with it.
        found = [
            f for f in found if f.rank is not Rank.REMARK or own in f.about or focus.kind in ("Deployment", "Node")
        ]
    return tuple(sorted(found, key=lambda f: (f.rank, -len(f.so), -len(f.about), f.about)))


def related(world: World, focus: Focus) -> set[str]:
    """Labels of the object, its pods, and the nodes that they are on or could not get on."""
    found = {str(focus)}
    behind = _pods(world, focus)
    for pod in behind:
        found.add(label(pod, "Pod"))
        node = objects.spec(pod).get("nodeName")
        if node:
            found.add(f"Node {node}")
        elif not is_over(pod):
            found |= {label(each, "Node") for each in world.nodes if not is_ready(each)}
            found |= {label(claim, "NodeClaim") for claim in world.claims}
    for deployment in world.deployments:
        if any(pod in behind for pod in world.pods_of(deployment)):
            found.add(label(deployment, "Deployment"))
    return found


def fine(world: World, focus: Focus | None = None) -> str:
    """What to say where nothing is found, or of all the rest."""
    if focus is not None:
        behind = _pods(world, focus)
        ready = sum(is_ready(pod) for pod in behind)
        if focus.kind == "Pod":
            return f"{focus} is fine: " + ", ".join(
                f"{objects.status(pod).get('phase', 'Pending')} on {objects.spec(pod).get('nodeName') or 'no node yet'}"
                for pod in behind
            )
        return f"{focus} is fine: {ready} of {plural(len(behind), 'pod')} ready"
    running = [pod for pod in world.pods if not is_over(pod) and not objects.is_deleting(pod)]
    ready = sum(is_ready(pod) for pod in running)
    well = sum(is_ready(node) for node in world.nodes)
    ending = sum(objects.is_deleting(pod) for pod in world.pods)
    also = f"; {plural(ending, 'pod')} {'is' if ending == 1 else 'are'} ending" if ending else ""
    return f"{well} of {plural(len(world.nodes), 'node')} and {ready} of {plural(len(running), 'pod')} are ready{also}"


def _pods(world: World, focus: Focus) -> list[objects.Object]:
    def is_it(obj: objects.Object) -> bool:
        return objects.name(obj) == focus.name and objects.namespace(obj) == focus.namespace

    match focus.kind:
        case "Pod":
            return [pod for pod in world.pods if is_it(pod)]
        case "Node":
            return world.pods_on(focus.name)
        case "Deployment":
            return [pod for each in world.deployments if is_it(each) for pod in world.pods_of(each)]
        case "ReplicaSet":
            return [pod for each in world.replica_sets if is_it(each) for pod in world.pods_of(each)]
        case "Service":
            return [pod for each in world.services if is_it(each) for pod in world.pods_behind(each)]
        case "Namespace":
            return [pod for pod in world.pods if objects.namespace(pod) == focus.name]
        case _:
            return []


def _merged(found: Iterable[Finding]) -> list[Finding]:
    """The same cause of several pods of one owner is one finding; the evidence and commands of the first stand."""
    by_cause: dict[tuple[str, str], Finding] = {}
    for finding in found:
        key = (finding.cause, finding.group or finding.about[0])
        before = by_cause.get(key)
        if before is None:
            by_cause[key] = finding
        else:
            about = tuple(dict.fromkeys((*before.about, *finding.about)))
            by_cause[key] = replace(before, about=about, so=tuple(dict.fromkeys((*before.so, *finding.so))))
    return list(by_cause.values())
