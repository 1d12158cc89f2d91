"""What a deployment does without the program: resolve what a crash left, refresh, delete.

In: a `Deployment` whose recorder holds the old state. Out: the same, with the state brought up to what is there.
Deletes run in reverse dependency order, as many at a time as there are slots; a resource whose dependents could not
be deleted stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from iacorch.infra.engine.builtin.decisions import steps
from iacorch.infra.engine.builtin.execution.deployment import Deployment
from iacorch.infra.engine.builtin.plugins.plugin import HalfMade, Read
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Pending, Resource
from iacorch.infra.engine.contract import Change, Diagnostic, Op, Severity
from iacorch.infra.engine.errors import CallTimedOut, Protected, ResourceFailed


async def resolve_pending(deployment: Deployment, *, program: bool) -> None:
    """Settle every operation that had begun when the last run ended, by reading the resource.

    A create that left nothing stays noted where a `program` will ask for it again: it is to get the same inputs.
    """
    recorder = deployment.recorder
    for ticket, pending in recorder.pending:
        wanted = pending.resource
        if wanted.custom and not wanted.is_provider:
            settled = await _resolve(deployment, pending)
            if not settled and program:
                deployment.interrupted[wanted.urn] = ticket, wanted
                continue
        recorder.end(ticket)
        await recorder.commit()


def forget_interrupted(deployment: Deployment) -> None:
    """The program does not ask again for what was interrupted, and nothing is there: no more to note."""
    while deployment.interrupted:
        _, (ticket, _) = deployment.interrupted.popitem()
        deployment.recorder.end(ticket)


async def _resolve(deployment: Deployment, pending: Pending) -> bool:
    """Settle one operation; False for a create of which nothing is found."""
    if pending.kind == "creating":
        return await _find(deployment, pending.resource)
    wanted, recorder = pending.resource, deployment.recorder
    old = next((r for r in recorder.old() if r.urn == wanted.urn and r.id == wanted.id), None)
    if old is None:
        return True
    plugin = await deployment.providers.serving(wanted.provider)
    errors: tuple[str, ...] = ()
    try:
        found = await plugin.read(old.urn, old.id, inputs=old.inputs, outputs=old.outputs, timeout=_patience(old))
    except HalfMade as half:
        found, errors = Read(half.id, old.inputs, half.outputs), half.reasons
    if not found.id:
        recorder.lose(old)
        _say(deployment, wanted, f"it was interrupted while {pending.kind}, and is gone")
        return True
    outputs = wire.mark_secret(found.outputs, old.additional_secret_outputs)
    recorder.alter(old, outputs=outputs, init_errors=errors or old.init_errors)
    _say(deployment, wanted, f"it was interrupted while {pending.kind}; its state was read again")
    return True


async def _find(deployment: Deployment, wanted: Resource) -> bool:
    """Ask the provider for what a create has left, by URN and inputs; take it into the state."""
    recorder, why = deployment.recorder, ""
    errors: tuple[str, ...] = ()
    plugin = await deployment.providers.serving(wanted.provider)
    try:
        found = await plugin.read(wanted.urn, "", inputs=wanted.inputs, outputs={}, timeout=_patience(wanted))
    except HalfMade as half:
        found, errors = Read(half.id, wanted.inputs, half.outputs), half.reasons or ("unknown",)
    except CallTimedOut:
        raise  # a provider that does not answer has not said that nothing is there
    except ResourceFailed as error:
        found, why = Read("", {}, {}), f": {error.message}"
    before = recorder.find_old(wanted.urn)
    if before is not None and found.id == before.id and not before.pending_replacement:
        # Both have the URN by which it looked: what it found is the one that was to be replaced, and is in use.
        found, why = Read("", {}, {}), f": it finds {before.id}, which was to be replaced"
    if not found.id:
        message = f"its creation was interrupted, and the provider does not find it by its name{why}"
        deployment.execution.listen(Diagnostic(Severity.WARNING, f"{message}; it is asked to create it again",
                                               wanted.urn))  # fmt: skip
        return False
    # It was read without knowing what is secret; the inputs tell, as they would have told the create.
    outputs = wire.mark_secret(wire.keep_secret(found.outputs, wanted.inputs), wanted.additional_secret_outputs)
    made = replace(wanted, id=found.id, outputs=outputs, created="", modified="", init_errors=errors)
    if before is not None and not before.pending_replacement:
        recorder.alter(before, delete=True)
        before = None
    recorder.adopt(made, instead_of=before)
    _say(deployment, wanted, "its creation was interrupted; it is there, and was taken into the state")
    return True


def _patience(resource: Resource) -> float:
    return resource.custom_timeouts.get("read", 0.0)


def _say(deployment: Deployment, resource: Resource, message: str) -> None:
    deployment.execution.listen(Diagnostic(Severity.INFO, message, resource.urn))


async def refresh(deployment: Deployment) -> None:
    """Read every resource and record what is there; what is gone leaves the state."""
    chosen = [
        r
        for r in deployment.recorder.old()
        if r.custom
        and not r.is_provider
        and not r.external
        and not r.delete
        and not r.pending_replacement
        and deployment.scope.names(r.urn)
    ]
    await deployment.execution.together([_refresh(deployment, resource) for resource in chosen])
    await deployment.recorder.commit()


async def _refresh(deployment: Deployment, old: Resource) -> None:
    plugin = await deployment.providers.serving(old.provider)
    errors: tuple[str, ...] = ()
    async with deployment.execution.step(old, Op.REFRESH, (), counted=False) as began:
        try:
            found = await plugin.read(old.urn, old.id, inputs=old.inputs, outputs=old.outputs, timeout=_patience(old))
        except HalfMade as half:
            found, errors = Read(half.id, half.inputs or old.inputs, half.outputs), half.reasons
    if not found.id:
        deployment.recorder.lose(old)
        await _report(deployment, old, Op.DELETE, ())
        return
    outputs = wire.mark_secret(found.outputs, old.additional_secret_outputs)
    changes = steps.compare(old.outputs, outputs)
    new = replace(old, inputs=found.inputs, outputs=outputs, init_errors=errors)
    if new == old:
        deployment.execution.counts[Op.SAME] += 1
        return
    deployment.recorder.alter(old, inputs=found.inputs, outputs=outputs, init_errors=errors, modified=began)
    if changes:
        await _report(deployment, old, Op.UPDATE, changes)
    else:
        deployment.execution.counts[Op.SAME] += 1


async def _report(deployment: Deployment, old: Resource, op: Op, changes: tuple[Change, ...]) -> None:
    async with deployment.execution.step(old, op, changes):
        await deployment.recorder.commit()


async def delete_unwanted(deployment: Deployment) -> None:
    """After the program: delete what it did not register, and what its replacements left."""
    forget_interrupted(deployment)
    scope, untouched = deployment.scope, deployment.untouched
    everything = deployment.recorder.old()
    kept = untouched | scope.kept(everything, () if scope.targets else untouched)
    ours = deployment.seen - untouched
    doomed = [
        old for old in everything if (scope.names(old.urn) and old.urn not in kept) or (old.delete and old.urn in ours)
    ]
    await delete_all(deployment, _closed(deployment, doomed) if scope.targets else doomed)


async def destroy(deployment: Deployment) -> None:
    """Delete everything, or the targets with what needs them."""
    everything = deployment.recorder.old()
    scope = deployment.scope
    kept = scope.kept(everything)
    chosen = [r for r in everything if scope.names(r.urn) and r.urn not in kept]
    await delete_all(deployment, _closed(deployment, chosen) if scope.targets else chosen)


def _closed(deployment: Deployment, chosen: Sequence[Resource]) -> list[Resource]:
    """`chosen` with everything that needs it; an error unless dependents were asked for and the program has none."""
    everything = deployment.recorder.old()
    urns = {r.urn for r in chosen}
    more = steps.dependents(everything, urns)
    held = [r for r in more if r.urn in deployment.untouched or not deployment.scope.target_dependents]
    if held:
        raise ResourceFailed(
            f"it cannot be deleted alone: {held[0].urn} needs it",
            urn=next(iter(sorted(urns & held[0].needs())), ""),
            hint="add what needs it to the targets, or give --target-dependents",
        )
    urns |= {r.urn for r in more}
    return [r for r in everything if r.urn in urns]


async def delete_all(deployment: Deployment, doomed: Sequence[Resource]) -> None:
    """Delete in reverse dependency order. Protected says what stops it, before anything is deleted."""
    held = [r for r in doomed if r.protect and not r.delete and not r.pending_replacement]
    if held:
        names = ", ".join(r.urn for r in held)
        raise Protected(f"protected, so not deleted: {names}", hint="remove `protect` in the program and run up first")
    order = steps.deletion_order(doomed)
    over = [asyncio.Event() for _ in order]
    urns = frozenset(r.urn for r in doomed if not r.delete)
    await deployment.execution.together(
        [
            _delete(deployment, resource, urns, over[at], [over[i] for i in sorted(before)])
            for at, (resource, before) in enumerate(order)
        ]
    )


async def _delete(
    deployment: Deployment,
    resource: Resource,
    doomed: frozenset[str],
    over: asyncio.Event,
    before: Sequence[asyncio.Event],
) -> None:
    """Delete one resource once those that need it are over; after a failure anywhere, no step begins."""
    try:
        for earlier in before:
            await earlier.wait()
        if resource.pending_replacement or resource.external:
            # It is gone already, or somebody else's; only the state still names it.
            deployment.recorder.drop(resource)
            await deployment.recorder.commit()
            return
        async with deployment.execution.step(resource, Op.DELETE, (), counted=_counted(deployment, resource)):
            await deployment.actions.delete_outside(resource, doomed)
            deployment.recorder.drop(resource)
            await deployment.recorder.commit()
    finally:
        over.set()


def _counted(deployment: Deployment, resource: Resource) -> bool:
    """The old one of a replacement is not counted: the replacement was."""
    return not (resource.delete and resource.urn in deployment.seen)
