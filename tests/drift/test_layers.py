"""The comparisons of each layer: rows that the fake fleet does not have."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.agent.runtime import docker_wire
from iacorch.agent.runtime.contract import Owner
from iacorch.drift.compare import Rules, differences
from iacorch.drift.decisions.decide import Decision, Outcome
from iacorch.drift.decisions.policy import Chosen
from iacorch.drift.fleet import fleet_of
from iacorch.drift.machine import refresh
from iacorch.drift.machine.source import refuse_replacements
from iacorch.drift.model import Action, Field, Key, Layer, Observation, Place, Verdict
from iacorch.drift.node import probe
from iacorch.drift.node.host import wanted_of
from iacorch.drift.node.inspect import TaskChange, observe
from iacorch.drift.node.mend import mend
from iacorch.drift.node.source import as_made, plan_of
from iacorch.drift.workload import containers, declared
from iacorch.drift.workload.declared import Declared
from iacorch.infra.bootstrap.facts import Facts, Installation, Python
from iacorch.infra.bootstrap.plan import Plan
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Resource, Snapshot
from iacorch.infra.engine.contract import Change, Diagnostic, Event, Op, Progress, ResourceDone, ResourcePre, Severity
from iacorch.infra.provider.resources.manifest_plan import OWNER

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "seen", "rules", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, Rules(), []),
        ({"a": 1}, {"a": 2}, Rules(), ["a"]),
        ({"a": {}}, {}, Rules(), []),
        ({"a": {"b": 1}}, {}, Rules(), ["a.b"]),
        ({"a": {}}, {"a": {"b": 1}}, Rules(closed=("a",)), ["a.b"]),
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m"}}, Rules(), []),
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "600m"}}, Rules(), ["limits.cpu"]),
        ({"x": [{"name": "a", "v": 1}]}, {"x": [{"name": "b"}, {"name": "a", "v": 2}]}, Rules(), ["x[a].v", "x[b]"]),
        ({"x": [1, 2]}, {"x": [2, 1]}, Rules(), ["x[0]", "x[1]"]),
        ({"x": [1, 2]}, {"x": [1]}, Rules(), ["x"]),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 2}}, Rules(ignore=("a.b",)), ["a.c"]),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 2}}, Rules(ignore=("a",)), []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, Rules(writers={"a.b": "vpa-1"}, others=("vpa-*",)), []),
        ({"port": 80}, {"port": "80"}, Rules(), []),
        ({"on": True}, {"on": "true"}, Rules(), ["on"]),
    ],
)
def test_where_two_documents_differ(wanted: Any, seen: Any, rules: Rules, paths: list[str]) -> None:
    assert [f.path for f in differences(wanted, seen, rules)] == paths


def test_secrets_are_hidden_and_still_told_apart() -> None:
    one, two = (differences({"dbPassword": "a"}, {"dbPassword": seen}, Rules(salt="s"))[0] for seen in ("b", "c"))
    assert (one.wanted, one.seen, one.secret) == ("[secret]", "[secret]", True)
    assert one.mark != two.mark
    assert differences({"dbPassword": "a"}, {"dbPassword": "b"}, Rules(salt="t"))[0].mark != one.mark


# Machines

URN = "urn:pulumi:prod::shop::aws:ec2/instance:Instance::web"
WEB = Resource(
    URN, "aws:ec2/instance:Instance", custom=True, id="i-1", inputs={"type": "small", "tags": {"team": "shop"}},
    outputs={"type": "small", "ip": "1.2.3.4"}, ignore_changes=("tags",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("event", "verdict", "paths"),
    [
        (None, Verdict.IN_SYNC, []),
        (ResourcePre(URN, "", Op.DELETE), Verdict.MISSING, []),
        (ResourceDone(URN, "", Op.UPDATE, 0.1, (Change("type", "small", "large"),)), Verdict.DRIFTED, ["type"]),
        (ResourceDone(URN, "", Op.UPDATE, 0.1, (Change("ip", "1.2.3.4", "5.6.7.8"),)), Verdict.IN_SYNC, []),
        (ResourceDone(URN, "", Op.UPDATE, 0.1, (Change("tags.team", "shop", "x"),)), Verdict.IN_SYNC, []),
        (ResourceDone(URN, "", Op.UPDATE, 0.1, (Change("instanceState", "running", "stopped"),)), Verdict.DRIFTED,
         ["instanceState"]),
        (Diagnostic(Severity.ERROR, "no credentials", URN), Verdict.UNKNOWN, []),
        (ResourceDone(URN, "", Op.REFRESH, 0.1, error="throttled"), Verdict.UNKNOWN, []),
    ],
)  # fmt: skip
def test_what_a_refresh_says(event: Any, verdict: Verdict, paths: list[str]) -> None:
    (found,) = refresh.observe("prod", [WEB], [event] if event else [])
    assert (found.verdict, [f.path for f in found.fields]) == (verdict, paths)
    assert found.place.labels == {"team": "shop"}


MACHINE_URN = "urn:pulumi:prod::shop::docker:index/container:Container::m"
MACHINE = Resource(
    MACHINE_URN, "docker:index/container:Container", custom=True, inputs={"image": "x"},
    outputs={"memory": 0, "networkDatas": [{"ipAddress": "10.0.0.9"}], "bridge": "10.0.0.9"},
)  # fmt: skip
USER = Resource(
    "urn:pulumi:prod::shop::iacorch:index:Node::n", "iacorch:index:Node", custom=True, dependencies=(MACHINE_URN,),
    inputs={"connection": wire.secret({"host": "10.0.0.9"})},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        pytest.param([Change("memory", 0, 512)], ["memory"], id="only docker update does that"),
        pytest.param([Change("exitCode", 0, 1)], [], id="the world's business"),
        pytest.param(
            [Change("networkDatas[0].ipAddress", "10.0.0.9", "10.0.0.7")],
            ["networkDatas[0].ipAddress"],
            id="somebody was made with it",
        ),
        pytest.param([Change("networkDatas[0].gateway", "10.0.0.1", "10.0.0.2")], [], id="nobody was"),
    ],
)
def test_what_no_program_sets_is_drift_where_a_hand_did_it_or_somebody_needs_it(
    changes: list[Change], paths: list[str]
) -> None:
    event = ResourceDone(MACHINE_URN, "", Op.UPDATE, 0.1, tuple(changes))
    found, _ = refresh.observe("prod", [MACHINE, USER], [event])
    assert [f.path for f in found.fields] == paths


def test_a_preview_that_would_replace_stops_that_correction_only() -> None:
    key = Key(Layer.MACHINE, "prod", "x", "web")
    seen = Observation(key, Verdict.DRIFTED, (Field("type", 1, 2),), place=Place(urn=URN))
    decision = Decision(seen, Outcome.CORRECT, Chosen(Action.CORRECT), why="policy p")
    refused = refuse_replacements([ResourcePre(URN, "", Op.REPLACE)], {URN: decision})
    assert list(refused) == [URN]
    assert "approve" in refused[URN]
    approved = Decision(seen, Outcome.CORRECT, Chosen(Action.CORRECT), approved=True)
    assert refuse_replacements([ResourcePre(URN, "", Op.REPLACE)], {URN: approved}) == {}
    assert refuse_replacements([ResourcePre(URN, "", Op.UPDATE)], {URN: decision}) == {}


def test_what_a_refresh_found_gone_is_no_delete_of_the_correction() -> None:
    events: list[Event] = [
        ResourcePre(URN, "", Op.DELETE),
        Progress(refresh.RUNNING_PROGRAM),
        ResourcePre(URN, "", Op.CREATE),
    ]
    assert [e.op for e in refresh.after_refresh(events) if isinstance(e, ResourcePre)] == [Op.CREATE]
    assert refresh.after_refresh(events[:1]) == events[:1]


# Nodes

FACTS = Facts(
    os_id="debian", arch="x86_64", systemd=True, pythons=(Python((3, 11), "/usr/bin/python3"),),
    addresses=("10.0.0.9",), docker_version="20", docker_config="foreign", has_nft=True,
    clock_offset_seconds=999.0, ports=frozenset({("udp", 8472)}),
    installation=Installation({"iacorch-agent": "active"}, {"iacorch-agent": "edited"}, {}),
)  # fmt: skip
NODE = Resource(
    "urn:pulumi:prod::shop::iacorch:index:Node::n1", "iacorch:index:Node", custom=True, id="n1.token",
    inputs={
        "nodeName": "n1", "server": "https://10.0.0.1:6443", "caCert": "CA", "labels": {"zone": "a"},
        "joinToken": wire.secret("t"), "kubeconfig": wire.secret("k"),
        "connection": {"host": "10.0.0.9", "privateKey": wire.secret("KEY")},
    },
    outputs={"bundle": "0" * 16, "hostKeys": "keys"},
)  # fmt: skip


def test_a_fleet_is_read_from_states() -> None:
    fleet = fleet_of({"prod": Snapshot((NODE, WEB))})
    (host,) = fleet.hosts
    assert (host.name, host.target.private_key, host.target.host_keys, host.bundle) == ("n1", "KEY", "keys", "0" * 16)
    assert host.config.owner == "token"
    assert [d.reference.kind for d in fleet.declared] == ["Node"]
    assert "KEY" not in repr(fleet)
    assert fleet_of({"prod": Snapshot((replace(NODE, outputs={}),))}).hosts == ()  # half made: nothing is promised yet


def test_a_machine_that_drifted_is_planned_for_as_it_was_made() -> None:
    (host,) = fleet_of({"prod": Snapshot((NODE,))}).hosts
    plan = plan_of(host, FACTS)
    assert isinstance(plan, Plan)
    assert plan.variables["docker_config"]
    assert as_made(FACTS, config_was_ours=False).docker_config == "foreign"
    assert plan_of(host, Facts()) is None
    wanted = wanted_of(plan, name="n1", bundle=host.bundle)
    assert wanted.files["/etc/docker/daemon.json"].mode == "644"
    assert wanted.files["/etc/iacorch/agent-token"].secret


def test_the_probe_is_a_script_and_an_answer() -> None:
    (host,) = fleet_of({"prod": Snapshot((NODE,))}).hosts
    plan = plan_of(host, FACTS)
    assert plan is not None
    wanted = wanted_of(plan, name="n1", bundle=host.bundle)
    text = probe.script(wanted, containers=True)
    assert text.startswith("UNIT=iacorch-agent\n")
    assert "FILES=''" in probe.script(None, containers=True)
    with pytest.raises(ValueError, match="cut off"):
        probe.parse("clock=1\n", asked_between=(0, 0))
    seen = probe.parse("clock=100.0\nfile=600 root:root abc 7 /a b\nservice=x.service inactive dead masked no\nend=1\n",
                       asked_between=(90.0, 95.0))  # fmt: skip
    assert seen.files["/a b"].sha256 == "abc"
    assert (seen.services["x.service"].active, seen.services["x.service"].enabled) == ("inactive", "masked")
    assert seen.clock_offset_seconds == 5.0
    assert seen.containers is None
    found = {o.key.kind: o for o in observe(wanted, seen, Place(), now=NOW, tasks=[TaskChange("Write", "a", "b")])}
    assert found["Roles"].fields[0].path == "Write"
    assert found["Bundle"].verdict is Verdict.MISSING


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("700 root:root", []),
        ("500 root:root", []),
        ("755 root:root", ["mode"]),
        ("700 nobody:root", ["owner"]),
    ],
)
def test_a_folder_of_keys_that_others_may_enter_is_found(line: str, paths: list[str]) -> None:
    (host,) = fleet_of({"prod": Snapshot((NODE,))}).hosts
    plan = plan_of(host, FACTS)
    assert plan is not None
    wanted = wanted_of(plan, name="n1", bundle=host.bundle)
    text = f"clock=100.0\nfolder={line} /var/lib/iacorch-agent/pki\nend=1\n"
    seen = probe.parse(text, asked_between=(100, 100))
    found = {o.key.name: o for o in observe(wanted, seen, Place(), now=NOW)}
    assert [f.path for f in found["/var/lib/iacorch-agent/pki"].fields] == paths
    assert "/etc/iacorch" not in found  # it is not there: its files tell


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("660 root:docker", []),
        ("600 root:root", []),
        ("660 root:adm", []),
        ("666 root:docker", ["mode"]),
        ("660 ada:docker", ["owner"]),
    ],
)
def test_an_engine_that_everybody_may_command_is_found(line: str, paths: list[str]) -> None:
    (host,) = fleet_of({"prod": Snapshot((NODE,))}).hosts
    plan = plan_of(host, FACTS)
    assert plan is not None
    wanted = wanted_of(plan, name="n1", bundle=host.bundle)
    seen = probe.parse(f"clock=100.0\nsocket={line} /run/docker.sock\nend=1\n", asked_between=(100, 100))
    found = {o.key.name: o for o in observe(wanted, seen, Place(), now=NOW)}
    assert [f.path for f in found["/run/docker.sock"].fields] == paths


def test_what_is_mounted_over_files_of_bootstrap_is_taken_off_first() -> None:
    (host,) = fleet_of({"prod": Snapshot((NODE,))}).hosts
    plan = plan_of(host, FACTS)
    assert plan is not None
    wanted = wanted_of(plan, name="n1", bundle=host.bundle)
    text = "clock=100.0\nmount=/etc/iacorch\nmount=/etc/iacorch\nfolder=777 root:root /etc/iacorch\nend=1\n"
    found = [o for o in observe(wanted, probe.parse(text, asked_between=(100, 100)), Place(), now=NOW) if o.is_drift]
    (mount,) = [o for o in found if o.key.kind == "Mount"]
    assert (mount.key.name, mount.verdict) == ("/etc/iacorch", Verdict.UNEXPECTED)
    script = mend(found, unit="u").before
    assert script.index("umount /etc/iacorch") < script.index("chmod 755 /etc/iacorch")


def test_a_rule_of_somebody_that_drops_what_pods_send_waits_for_consent() -> None:
    chain = {"family": "inet", "table": "mine", "name": "fwd", "hook": "forward", "policy": "drop"}
    text = f"clock=100.0\nruleset={json.dumps({'nftables': [{'chain': chain}]})}\nend=1\n"
    (host,) = fleet_of({"prod": Snapshot((NODE,))}).hosts
    plan = plan_of(host, FACTS)
    assert plan is not None
    wanted = wanted_of(plan, name="n1", bundle=host.bundle)
    seen = probe.parse(text, asked_between=(100, 100))
    (rule,) = [o for o in observe(wanted, seen, Place(), now=NOW) if o.key.kind == "ForeignRule"]
    assert (rule.key.name, rule.verdict, rule.replaces) == ("inet mine fwd 0", Verdict.UNEXPECTED, True)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [("4000000000 fits", Verdict.IN_SYNC), ("4000000000 unfit", Verdict.DRIFTED), ("", Verdict.DRIFTED)],
)
def test_a_certificate_beside_anothers_key_is_found(line: str, verdict: Verdict) -> None:
    (host,) = fleet_of({"prod": Snapshot((NODE,))}).hosts
    plan = plan_of(host, FACTS)
    assert plan is not None
    wanted = wanted_of(plan, name="n1", bundle=host.bundle)
    text = f"clock=100.0\ncertificate=/var/lib/iacorch-agent/pki/agent.crt {line}\nend=1\n"
    found = {o.key.kind: o for o in observe(wanted, probe.parse(text, asked_between=(100, 100)), Place(), now=NOW)}
    assert found["Certificate"].verdict is verdict


@pytest.mark.parametrize(
    ("kind", "name", "verdict", "paths", "before", "roles", "after"),
    [
        ("Socket", "/run/docker.sock", Verdict.DRIFTED, ("mode",), "chmod 600 /run/docker.sock\n", False, ""),
        ("File", "/etc/iacorch/ca.crt", Verdict.MISSING, (), "", True, ""),
        ("File", "/etc/iacorch/ca.crt", Verdict.DRIFTED, ("mode",), "chmod 600 /etc/iacorch/ca.crt\n", False, ""),
        ("File", "/x.conf", Verdict.UNEXPECTED, ("path",),
         "mv -f -- /x.conf /x.conf.aside\nsystemctl daemon-reload\n", False, "u"),
        ("Certificate", "/c", Verdict.MISSING, (), "rm -f -- /c\n", False, "u"),
        ("Certificate", "/c.crt", Verdict.DRIFTED, ("key",), "rm -f -- /c.crt\nrm -f -- /c.key\n", False, "u"),
        ("ForeignRule", "inet mine fwd 7", Verdict.UNEXPECTED, ("rule",), "nft delete rule inet mine fwd handle 7\n",
         False, ""),
        ("ForeignRule", "ip mine fwd 0", Verdict.UNEXPECTED, ("rule",), "nft chain ip mine fwd '{ policy accept; }'\n",
         False, ""),
        ("Program", "nft", Verdict.MISSING, (), "", True, ""),
        ("Sysctl", "net.x", Verdict.DRIFTED, ("value",), "sysctl -q -w net.x=600\n", False, ""),
        ("Bundle", "b", Verdict.DRIFTED, ("files[/opt/a]",), "rm -f -- /opt/iacorch/b/complete\nrm -f -- /opt/a\n",
         True, "u"),
    ],
)  # fmt: skip
def test_how_a_node_is_mended(
    kind: str, name: str, verdict: Verdict, paths: tuple[str, ...], before: str, roles: bool, after: str
) -> None:
    fields = tuple(Field(path, "600", "644") for path in paths)
    todo = mend([Observation(Key(Layer.NODE, "n1", kind, name), verdict, fields)], unit="u")
    assert (todo.before, todo.roles) == (before, roles)
    assert todo.after == (f"systemctl restart {after}.service\n" if after else "")


# Workloads

CRASHING = "CrashLoopBackOff"


def pod(**status: Any) -> dict[str, Any]:
    spec = {"nodeName": "n1", "containers": [{"name": "app", "image": "x"}], "restartPolicy": "Always"}
    return {"metadata": {"uid": "u", "name": "p", "namespace": "d"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("pods", "verdicts"),
    [
        ([pod(phase="Pending")], []),
        ([pod(phase="Succeeded")], []),
        ([pod(phase="Running") | {"metadata": {"uid": "u", "name": "p", "deletionTimestamp": "x"}}], []),
        ([pod(phase="Running")], [Verdict.MISSING, Verdict.MISSING]),
        ([pod(phase="Running", containerStatuses=[{"name": "app", "state": {"waiting": {"reason": CRASHING}}}])],
         [Verdict.MISSING, Verdict.UNKNOWN]),
    ],
)  # fmt: skip
def test_pods_without_containers(pods: list[dict[str, Any]], verdicts: list[Verdict]) -> None:
    assert [o.verdict for o in containers.observe("n1", pods, [])] == verdicts


def test_containers_of_pods_that_came_while_the_node_was_looked_at_are_no_surprise() -> None:
    sandbox = {"Id": "c" * 64, "Name": "/x", "Config": {"Labels": docker_wire.labels_of(Owner("u", "d", "p"), "n1")}}
    assert [o.verdict for o in containers.observe("n1", [], [sandbox])] == [Verdict.UNEXPECTED]
    assert containers.observe("n1", [], [sandbox], [pod(phase="Pending")]) == ()


def test_a_node_that_does_not_answer_leaves_its_containers_unknown() -> None:
    found = containers.nobody_looks("n1", [pod(phase="Running")], "no route")
    assert {(o.verdict, o.reason) for o in found} == {(Verdict.UNKNOWN, "no route")}


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "d"},
              "spec": {"replicas": 2}}  # fmt: skip


def live(**metadata: Any) -> dict[str, Any]:
    annotations = {OWNER: "token", **metadata.pop("annotations", {})}
    metadata = {**DEPLOYMENT["metadata"], "annotations": annotations, **metadata}  # type: ignore[dict-item]
    return {**DEPLOYMENT, "metadata": metadata, "spec": {"replicas": 5}}


def managed(manager: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"manager": manager, "time": "2026-11-23T12:00:00Z", "fieldsV1": fields}]


@pytest.mark.parametrize(
    ("metadata", "verdict", "writer"),
    [
        ({}, Verdict.DRIFTED, ""),
        ({"managedFields": managed("kubectl-scale", {"f:spec": {"f:replicas": {}}})}, Verdict.DRIFTED, "kubectl-scale"),
        ({"managedFields": managed("horizontal-pod-autoscaler", {"f:spec": {"f:replicas": {}}})}, Verdict.IN_SYNC, ""),
        ({"annotations": {declared.IGNORE: "spec.replicas"}}, Verdict.IN_SYNC, ""),
        ({"deletionTimestamp": "2026-11-23T12:00:00Z"}, Verdict.MISSING, ""),
    ],
)
def test_field_owners_are_respected_and_named(metadata: dict[str, Any], verdict: Verdict, writer: str) -> None:
    wanted = Declared(DEPLOYMENT, "prod", "urn", "token")
    (found,) = declared.observe([wanted], {wanted.reference: live(**metadata)})
    assert found.verdict is verdict
    assert [f.writer for f in found.fields] == ([writer] if found.fields else [])


def test_an_object_that_lost_the_mark_of_its_manifest_is_found_and_anothers_is_left_alone() -> None:
    wanted = Declared({**DEPLOYMENT, "spec": {"replicas": 5}}, "prod", "urn", "token")
    for marks, fields in (({}, [f"metadata.annotations[{OWNER}]"]), ({OWNER: "another"}, [])):
        metadata = {**DEPLOYMENT["metadata"], "annotations": marks}  # type: ignore[dict-item]
        seen = {**wanted.obj, "metadata": metadata}
        (found,) = declared.observe([wanted], {wanted.reference: seen})
        assert [f.path for f in found.fields] == fields


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
LOST = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("seen", "fields"),
    [
        pytest.param([TAINT], [], id="as wanted"),
        pytest.param([LOST, {**TAINT, "timeAdded": "now"}], [], id="others add to them"),
        pytest.param([LOST], ["spec.taints[{effect: NoSchedule, key: gpu, value: yes}]"], id="taken away"),
        pytest.param(None, ["spec.taints[{effect: NoSchedule, key: gpu, value: yes}]"], id="all of them"),
    ],
)
def test_a_declared_taint_that_was_taken_away_is_found(seen: Any, fields: list[str]) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": [TAINT]}}
    there = {**node, "spec": {"taints": seen} if seen else {}}
    wanted = Declared(node, "prod", "urn")
    (found,) = declared.observe([wanted], {wanted.reference: there})
    assert [f.path for f in found.fields] == fields
    mended = declared.with_others(node, there)["spec"]["taints"]
    assert TAINT in [{k: v for k, v in taint.items() if k != "timeAdded"} for taint in mended]
    assert all(taint in mended for taint in seen or ())
