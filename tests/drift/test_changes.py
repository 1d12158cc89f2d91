"""One plan over all layers: what it says, what it costs, what it was based on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iacorch.drift.changes import build, file, show
from iacorch.drift.changes.build import Cluster, Preview
from iacorch.drift.changes.model import Input, Plan, Step, Verb
from iacorch.drift.changes.money import price
from iacorch.drift.changes.moved import moved
from iacorch.drift.model import Layer
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin.values.state import Resource, Snapshot
from iacorch.infra.engine.contract import Change, Event, Op, Progress, ResourceDone, ResourcePre
from iacorch.infra.provider.resources.manifest_plan import reference

NODE = "iacorch:index:Node"
MANIFEST = "iacorch:index:Manifest"
INSTANCE = "aws:ec2/instance:Instance"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:prod::shop::{type_}::{name}"


def resource(type_: str, name: str, **inputs: Any) -> Resource:
    return Resource(urn(type_, name), type_, custom=True, id=name, inputs=inputs, outputs=inputs)


def pre(type_: str, name: str, op: Op, *changes: Change, **inputs: Any) -> ResourcePre:
    return ResourcePre(urn(type_, name), type_, op, changes, inputs)


def listed(region: str, size: str) -> int | None:
    return {("eu-west-1", "small"): 10_000, ("eu-west-1", "large"): 40_000}.get((region, size))


def steps(events: list[Event], *old: Resource, cluster: Cluster = Cluster()) -> list[Step]:  # noqa: B008 - frozen
    return list(build.build([Preview("prod", Snapshot(old), events)], cluster, listed))


def config_map(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(name: str, node: str, owner: str = "") -> dict[str, Any]:
    owners = [{"kind": "ReplicaSet", "name": owner, "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "default", "uid": name, "ownerReferences": owners}
    return {"metadata": metadata, "spec": {"nodeName": node}}


def test_what_is_imported_is_shown_once_with_what_is_changed_of_it_and_costs_what_it_did() -> None:
    found = steps(
        [
            pre(INSTANCE, "theirs", Op.IMPORT, instanceType="small", region="eu-west-1"),
            pre("aws:ebs/volume:Volume", "data", Op.IMPORT, size=10),
            pre("aws:ebs/volume:Volume", "data", Op.UPDATE, Change("tags", None, "ours"), size=10),
        ]
    )
    assert [(s.verb, s.name, s.micros_per_hour, s.data) for s in found] == [
        (Verb.IMPORT, "theirs", 0, ""),
        (Verb.IMPORT, "data", None, ""),
    ]
    assert "tags" in found[1].details[0]


def test_machines_with_their_money() -> None:
    found = steps(
        [
            pre(INSTANCE, "new", Op.CREATE, instanceType="small", region="eu-west-1"),
            pre(INSTANCE, "grows", Op.UPDATE, Change("instanceType", "small", "large"),
                instanceType="large", region="eu-west-1"),
            pre(INSTANCE, "goes", Op.DELETE),
            pre("aws:ebs/volume:Volume", "data", Op.DELETE),
        ],
        resource(INSTANCE, "grows", instanceType="small", region="eu-west-1"),
        resource(INSTANCE, "goes", instanceType="large", region="eu-west-1"),
        resource("aws:ebs/volume:Volume", "data", size=10),
    )  # fmt: skip
    assert [(s.verb, s.name, s.micros_per_hour, s.data) for s in found] == [
        (Verb.CREATE, "new", 10_000, ""),
        (Verb.CHANGE, "grows", 30_000, ""),
        (Verb.DELETE, "goes", -40_000, ""),
        (Verb.DELETE, "data", None, "what is stored in it"),
    ]


def test_what_the_refresh_found_is_no_step_and_a_replacement_is_one() -> None:
    found = steps(
        [
            Progress("refreshing"),
            ResourceDone(urn(INSTANCE, "a"), INSTANCE, Op.UPDATE, 0.1, (Change("tags", {}, {"x": "y"}),)),
            Progress("running the program"),
            pre("pulumi:pulumi:Stack", "shop-prod", Op.CREATE),
            pre("pulumi:providers:aws", "default", Op.CREATE),
            pre(INSTANCE, "b", Op.REPLACE, Change("ami", "1", "2", replaces=True)),
            pre(INSTANCE, "b", Op.DELETE),
        ],
        resource(INSTANCE, "a"),
        resource(INSTANCE, "b"),
    )
    assert [(s.verb, s.name, s.details) for s in found] == [(Verb.REPLACE, "b", ("ami: 1 -> 2 (replaces)",))]


def test_a_node_that_goes_moves_its_pods() -> None:
    cluster = Cluster(pods=(pod("web-1", "n1", "web-abc"), pod("alone", "n1"), pod("other", "n2", "web-abc")))
    found = steps([pre(NODE, "n1", Op.DELETE)], resource(NODE, "n1", nodeName="n1"), cluster=cluster)
    assert [(s.layer, s.verb, s.name, bool(s.data)) for s in found] == [
        (Layer.MACHINE, Verb.DELETE, "n1", False),
        (Layer.NODE, Verb.DELETE, "n1", False),
        (Layer.WORKLOAD, Verb.MOVE, "default/web-1", False),
        (Layer.WORKLOAD, Verb.MOVE, "default/alone", True),
    ]


def test_a_manifest_object_by_object() -> None:
    old = [config_map("kept", a="1"), config_map("gone", a="1")]
    new = [config_map("kept", a="2"), config_map("made", a="1")]
    live = {reference(obj): obj for obj in old} | {reference(config_map("made")): None}
    change = Change("objects", old, new)
    found = steps(
        [pre(MANIFEST, "m", Op.UPDATE, change, objects=new)],
        resource(MANIFEST, "m", objects=old),
        cluster=Cluster(live),
    )
    assert [(s.verb, s.name, s.details) for s in found if s.layer is Layer.WORKLOAD] == [
        (Verb.CHANGE, "default/kept", ("data.a: 1 -> 2",)),
        (Verb.CREATE, "default/made", ()),
        (Verb.DELETE, "default/gone", ()),
    ]


def test_a_new_template_rolls_a_deployments_pods() -> None:
    def deployment(image: str) -> dict[str, Any]:
        spec = {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
                "spec": spec}  # fmt: skip

    old, new = deployment("shop:1"), deployment("shop:2")
    cluster = Cluster({reference(old): old}, (pod("web-abc-1", "n1", "web-abc"), pod("api-x-1", "n1", "api-x")))
    found = steps(
        [pre(MANIFEST, "m", Op.UPDATE, objects=[new])], resource(MANIFEST, "m", objects=[old]), cluster=cluster
    )
    assert [(s.verb, s.name) for s in found if s.layer is Layer.WORKLOAD] == [
        (Verb.CHANGE, "default/web"),
        (Verb.MOVE, "default/web-abc-1"),
    ]


@pytest.mark.parametrize(
    ("type_", "inputs", "expected"),
    [
        ("docker:index/container:Container", {}, 0),
        (INSTANCE, {"instanceType": "small", "availabilityZone": "eu-west-1b"}, 10_000),
        (INSTANCE, {"instanceType": "huge", "region": "eu-west-1"}, None),
        ("iacorch:index:VirtualMachine", {"driver": "ssh"}, 0),
        ("iacorch:index:VirtualMachine", {"priceMicrosPerHour": 7}, 7),
        ("aws:rds/instance:Instance", {}, None),
    ],
)
def test_prices(type_: str, inputs: dict[str, Any], expected: int | None) -> None:
    assert price(type_, inputs, {}, listed) == expected


PLAN = Plan(
    "2026-11-23T12:00:00Z",
    ("prod",),
    (
        Step(Layer.MACHINE, Verb.CREATE, INSTANCE, "new", "prod", micros_per_hour=10_000),
        Step(Layer.WORKLOAD, Verb.DELETE, "Secret", "default/keys", data="its contents"),
    ),
    (Input("file main.py", "a", "10 bytes"), Input("state of stack prod", "b"), Input("object x", "c", "there")),
)


def test_a_plan_survives_the_disk_and_an_edited_one_does_not() -> None:
    assert file.load(file.dump(PLAN), where="plan") == PLAN
    with pytest.raises(ConfigError, match="was changed after it was made"):
        file.load(file.dump(PLAN).replace(b'"delete"', b'"create"'), where="plan")
    with pytest.raises(ConfigError, match="is no plan"):
        file.load(file.dump(PLAN)[:100], where="plan")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (PLAN.inputs, []),
        ((replace(PLAN.inputs[0], fingerprint="z", words="11 bytes"), *PLAN.inputs[1:]),
         ["file main.py has changed: 10 bytes -> 11 bytes"]),
        (PLAN.inputs[:2], ["object x is gone"]),
        ((*PLAN.inputs, Input("pod default/p", "p")), ["pod default/p is new"]),
    ],
)  # fmt: skip
def test_what_moved_is_named(now: tuple[Input, ...], words: list[str]) -> None:
    assert [str(entry) for entry in moved(PLAN.inputs, now)] == words


def test_a_person_sees_deletes_money_and_what_would_be_lost() -> None:
    text = "\n".join(show.lines(PLAN))
    assert "- DELETE   Secret default/keys" in text
    assert "DATA WOULD BE LOST in 1:" in text
    assert "money: +7.30 USD a month" in text
    assert list(show.lines(replace(PLAN, steps=())))[-1] == "nothing to do"


def test_program_files_are_those_a_program_could_read(tmp_path: Path) -> None:
    from iacorch.drift.changes.collect import _program

    for name in ("main.py", "app/web.yaml", ".venv/lib.py", "__pycache__/x.pyc", "Pulumi.prod.yaml", "a.plan"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert [p.relative_to(tmp_path).as_posix() for p in _program(tmp_path)] == ["app/web.yaml", "main.py"]
