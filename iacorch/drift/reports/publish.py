"""A report where others see it: a DriftReport with status, conditions and events; the status of the policies. Thin.

In: a client, a report. Out: objects in the API. What stands in them is made by `report.status`. Called after a check by
whoever has a way to the API; a server that does not answer costs the report its place there and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import DRIFT_POLICY, DRIFT_REPORT
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.client.recorder import NORMAL, WARNING, Recorder
from iacorch.drift.decisions.decide import Outcome
from iacorch.drift.decisions.policy import Policies
from iacorch.drift.reports import report as reports
from iacorch.drift.reports.report import Report
from iacorch.errors import AlreadyExists, NotFound
from iacorch.kit.clock import Clock, rfc3339
from iacorch.kit.tasks import Tasks

COMPONENT: Final = "iacorch-drift"
APPROVE: Final = "iacorch.dev/drift-approve"
"""Annotation of a DriftReport: the IDs of findings, separated by commas, that a person approves."""


async def read_policies(client: Client) -> list[Object]:
    """Every DriftPolicy. Raises ApiError."""
    return list((await client.list(DRIFT_POLICY)).items)


async def read_approvals(client: Client, name: str) -> tuple[str, ...]:
    """What people approved on the report. Raises ApiError."""
    try:
        found = await client.get(DRIFT_REPORT, "", name)
    except NotFound:
        return ()
    text = objects.annotations(found).get(APPROVE, "")
    return tuple(id_.strip() for id_ in text.split(",") if id_.strip())


async def publish(client: Client, name: str, report: Report, clock: Clock) -> Object:
    """Write the report and its events; approvals that were used are taken off. Raises ApiError."""
    try:
        before = await client.get(DRIFT_REPORT, "", name)
    except NotFound:
        before = await _create(client, name, report)
    status = reports.status(report, objects.status(before).get("conditions") or ())
    used = set(report.corrected) & set(await read_approvals(client, name))
    if used:
        left = [id_ for id_ in await read_approvals(client, name) if id_ not in used]
        await client.patch(DRIFT_REPORT, "", name, {"metadata": {"annotations": {APPROVE: ",".join(left) or None}}})
    # The patch replaces lists whole, so nothing of the status before is left.
    written = await client.patch(DRIFT_REPORT, "", name, {"status": status}, subresource="status")
    await _tell(client, written, report, objects.status(before).get("findings") or (), clock)
    return written


async def publish_policies(
    client: Client, policies: Policies, name: str, report: Report, now: datetime, due: Sequence[str]
) -> None:
    """When each policy was checked by its schedule and will be again. Raises ApiError."""
    for policy in policies.policies:
        if policy.schedule is None:
            continue
        after = policy.schedule.after(now)
        status: dict[str, Any] = {"nextScheduleTime": rfc3339(after) if after else None}
        if policy.name in due:
            counts: Mapping[str, int] = reports.to_json(report)["counts"]
            status |= {"lastScheduleTime": rfc3339(now), "lastReport": name, "counts": dict(counts)}
        try:
            await client.patch(DRIFT_POLICY, "", policy.name, {"status": status}, subresource="status")
        except NotFound:
            continue  # it was removed while we looked


async def _create(client: Client, name: str, report: Report) -> Object:
    obj = {
        "apiVersion": DRIFT_REPORT.api_version,
        "kind": DRIFT_REPORT.kind,
        "metadata": {"name": name},
        "spec": {"layers": [str(layer) for layer in report.layers], "stack": ",".join(report.stacks)},
    }
    try:
        return await client.create(DRIFT_REPORT, obj)
    except AlreadyExists:
        return await client.get(DRIFT_REPORT, "", name)


async def _tell(
    client: Client, about: Object, report: Report, before: Sequence[Mapping[str, Any]], clock: Clock
) -> None:
    """An event for what is new, what was corrected, what is fought over."""
    known = {entry.get("id") for entry in before}
    fought_over = {fight.resource for fight in report.assessment.fights}
    recorder = Recorder(client, component=COMPONENT, clock=clock)
    for decision in report.shown:
        seen = decision.seen
        words = f"{seen.key}: {seen.verdict}" + (f", {'; '.join(map(str, seen.fields[:3]))}" if seen.fields else "")
        done = report.corrected.get(seen.id)
        if done is not None:
            kind = (WARNING, "CorrectionFailed") if done.error else (NORMAL, "Corrected")
            recorder.record(about, *kind, f"{words}{': ' + done.error if done.error else ''}"[:1024])
        elif seen.id not in known and seen.is_drift:
            recorder.record(about, WARNING, "Drift", words[:1024])
        if decision.outcome is Outcome.HELD and str(seen.key) in fought_over:
            recorder.record(about, WARNING, "Fight", decision.why[:1024])
    if recorder.idle:
        return
    async with Tasks("drift-events") as tasks:
        tasks.spawn(recorder.run(), name="recorder")
        while not recorder.idle:
            await clock.sleep(0)
