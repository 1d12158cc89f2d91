"""Drift through a real API (in memory): reports, policies, approvals, the loop, objects set right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import CONFIG_MAP, DRIFT_POLICY, DRIFT_REPORT, EVENT, SECRET
from iacorch.api.objects import Object
from iacorch.drift import loop
from iacorch.drift.check import Checked, Scope, check, check_and_correct
from iacorch.drift.decisions import memory
from iacorch.drift.decisions.assess import assess
from iacorch.drift.decisions.decide import Outcome
from iacorch.drift.decisions.memory import Memory
from iacorch.drift.decisions.policy import Policies, always, policies_of
from iacorch.drift.fake.changes import every_change
from iacorch.drift.fake.world import World
from iacorch.drift.model import Action
from iacorch.drift.reports import publish
from iacorch.drift.workload import source
from iacorch.drift.workload.declared import Declared
from iacorch.infra.provider.resources.manifest_plan import owned
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.virtual import run_virtual
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.store.memory import MemoryStore

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
Story = Callable[[LocalClient, LoopClock], Awaitable[None]]


def told(story: Story) -> None:
    """Run a story with a control plane's API, on virtual time."""

    async def main() -> None:
        clock = LoopClock(START)
        registry = Registry(MemoryStore(), clock=clock, ids=SeededIds(1))
        await bootstrapping.fill(registry)
        await story(LocalClient(registry), clock)

    run_virtual(main())


def policy(**spec: Any) -> Object:
    return {"apiVersion": "iacorch.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": "p"}, "spec": spec}


async def drifted(clock: LoopClock, ending: str) -> World:
    world = World(clock)
    next(change for change in every_change(world) if change.what.endswith(ending)).apply()
    return world


def test_a_report_is_an_object_with_conditions_and_events() -> None:
    async def story(client: LocalClient, clock: LoopClock) -> None:
        world = await drifted(clock, "Deployment/web: scaled")
        checked = await check(world, Scope(), Policies(), Memory(), clock)
        await publish.publish(client, "fleet", checked.report, clock)
        await clock.sleep(90.0)
        again = await check(world, Scope(), Policies(), checked.memory, clock)
        await publish.publish(client, "fleet", again.report, clock)
        status = objects.status(await client.get(DRIFT_REPORT, "", "fleet"))
        assert status["counts"]["drifted"] == 1
        (finding,) = status["findings"]
        assert (finding["ageSeconds"], finding["fields"][0]["path"]) == (90, "spec.replicas")
        conditions = {entry["type"]: entry for entry in status["conditions"]}
        assert conditions["InSync"]["status"] == "False"
        assert conditions["InSync"]["lastTransitionTime"] == "2026-11-23T12:00:00Z"
        events = (await client.list(EVENT)).items
        assert [event["reason"] for event in events] == ["Drift"]  # once, though it was seen twice

    told(story)


def test_an_approval_on_the_report_is_used_once() -> None:
    async def story(client: LocalClient, clock: LoopClock) -> None:
        world = await drifted(clock, "ConfigMap/web-config-copy: an extra one")
        policies = always(Action.CORRECT)
        checked = await check_and_correct(world, Scope(), policies, Memory(), clock, print)
        await publish.publish(client, "fleet", checked.report, clock)
        (decision,) = checked.report.shown
        assert decision.outcome is Outcome.PROPOSED
        annotations = {publish.APPROVE: f"{decision.seen.id}, other"}
        await client.patch(DRIFT_REPORT, "", "fleet", {"metadata": {"annotations": annotations}})
        ids = await publish.read_approvals(client, "fleet")
        approved = memory.approve(checked.memory, ids, "ann", clock.now())
        checked = await check_and_correct(world, Scope(), policies, approved, clock, print)
        await publish.publish(client, "fleet", checked.report, clock)
        assert world.wrong_corrections == []
        assert await publish.read_approvals(client, "fleet") == ("other",)
        assert (await check(world, Scope(), policies, checked.memory, clock)).report.exit_code == 0

    told(story)


def test_the_loop_checks_by_the_policies_schedule_and_says_when_it_did() -> None:
    async def story(client: LocalClient, clock: LoopClock) -> None:
        await client.create(DRIFT_POLICY, policy(schedule="0 * * * *", action="correct", layers=["workload"]))
        world = await drifted(clock, "Deployment/web: scaled")
        checks: list[tuple[datetime, Checked]] = []

        async def read() -> Policies:
            return policies_of(await publish.read_policies(client))

        async def keep(memory: Memory) -> Memory:
            return memory

        async def tell(checked: Checked, policies: Policies, due: loop.Due) -> None:
            checks.append((clock.now(), checked))
            await publish.publish(client, "fleet", checked.report, clock)
            await publish.publish_policies(client, policies, "fleet", checked.report, clock.now(), due.names)

        hooks = loop.Hooks(read, keep, tell, lambda words: None)
        await loop.run(world, hooks, Memory(), clock, watch=None, rounds=1_500)  # a little over two hours of ticks
        assert [at.hour for at, _ in checks] == [13, 14]
        assert len(world.corrections) == 1
        assert checks[1][1].report.exit_code == 0
        status = objects.status(await client.get(DRIFT_POLICY, "", "p"))
        assert (status["lastReport"], status["nextScheduleTime"]) == ("fleet", "2026-11-23T15:00:00Z")

    told(story)


def test_objects_are_set_right_in_the_api() -> None:
    def config_map(name: str, **data: str) -> Object:
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    async def story(client: LocalClient, clock: LoopClock) -> None:
        wanted = [Declared(config_map(name, a="1", b="2"), "prod", f"urn:{name}", "token") for name in ("x", "y", "z")]
        await client.create(CONFIG_MAP, owned(config_map("x", a="1", b="2"), "token"))
        await client.create(CONFIG_MAP, owned(config_map("y", a="9", c="3"), "token"))
        seen = await source.object_observations(client, wanted, salt="")
        found = assess(seen, always(Action.CORRECT), Memory(), clock.now())
        to_do = found.with_outcome(Outcome.CORRECT)
        assert [(d.seen.key.name, str(d.seen.verdict)) for d in to_do] == [("y", "drifted"), ("z", "missing")]
        done = await source.correct_objects(client, to_do, wanted, print)
        assert [entry.error for entry in done] == ["", ""]
        assert (await client.get(CONFIG_MAP, "default", "y"))["data"] == {"a": "1", "b": "2"}
        again = await source.object_observations(client, wanted, salt="")
        assert {str(o.verdict) for o in again} == {"in sync"}

    told(story)


def test_what_somebody_put_into_a_secret_that_was_declared_in_plain_text_is_taken_out() -> None:
    plain: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys", "namespace": "default"},
        "stringData": {"token": "hunter2"},
    }

    async def story(client: LocalClient, clock: LoopClock) -> None:
        wanted = [Declared(plain, "prod", "urn:keys", "token")]
        made = await client.create(SECRET, owned(plain, "token"))
        data = {"more": "b3RoZXI=", "token": "b3RoZXI="}
        await client.patch(SECRET, "default", "keys", {"data": data})
        seen = await source.object_observations(client, wanted, salt="")
        to_do = assess(seen, always(Action.CORRECT), Memory(), clock.now()).with_outcome(Outcome.CORRECT)
        assert {field.path for d in to_do for field in d.seen.fields} == {"data.more", "data.token"}
        await source.correct_objects(client, to_do, wanted, print)
        assert (await client.get(SECRET, "default", "keys"))["data"] == made["data"]

    told(story)
