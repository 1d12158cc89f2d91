"""A fleet in memory, as it should be and as it is. Implements `check.Edges`.

In: how many machines, and a clock. Out: a world in sync; `changes` then alters `actual` and leaves `pristine` alone.
Looking goes through the same pure functions as for the real fleet (a node's answer is even written and parsed as text);
correcting puts one thing back, and writes down when that was not wrong (`wrong_corrections`).
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from iacorch.agent.containers.specification import Inputs, container_spec, sandbox_spec
from iacorch.agent.lifecycle.observed import StartContainer
from iacorch.agent.runtime import docker_wire
from iacorch.agent.runtime.contract import ImageState
from iacorch.api.objects import Object
from iacorch.drift.check import Looked, Say, Scope
from iacorch.drift.decisions.decide import Decision
from iacorch.drift.machine import refresh
from iacorch.drift.model import Key, Layer, Observation, Place
from iacorch.drift.node import inspect, probe
from iacorch.drift.node.host import Wanted, wanted_of
from iacorch.drift.reports.report import Done
from iacorch.drift.workload import containers, declared
from iacorch.drift.workload.declared import Declared
from iacorch.infra.bootstrap.facts import Facts, Python
from iacorch.infra.bootstrap.plan import NodeConfig, Plan, plan_node
from iacorch.infra.engine.builtin.decisions.steps import compare
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.contract import Event, Op, ResourceDone
from iacorch.infra.provider.resources.manifest_plan import OWNER, reference
from iacorch.kit import limits
from iacorch.kit.clock import Clock

STACK = "fake"
PROJECT = "fleet"
BUNDLE = "0123456789abcdef"
BUNDLE_FILES = 2_345
TOKEN = "manifest-1"
_FACTS = Facts(
    os_id="debian", os_name="Debian 12", arch="x86_64", systemd=True, pythons=(Python((3, 11), "/usr/bin/python3"),),
    addresses=("10.0.0.1",), docker_version="20.10", docker_config="ours", has_nft=True,
)  # fmt: skip


@dataclass(slots=True)
class Machine:
    """What a node shows, as the probe's lines by what they are about: easy to change, printed to be parsed."""

    wanted: Wanted
    lines: dict[tuple[str, str], str]
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """Everything that can be changed."""

    machines: dict[str, Machine] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """URN -> what its provider finds, None when it is gone."""
    live: dict[Key, Object | None] = field(default_factory=dict)


class World:
    """See the module docstring. `latency_seconds` is what one round trip to a host takes."""

    def __init__(self, clock: Clock, *, nodes: int = 3, latency_seconds: float = 0.0) -> None:
        self._clock, self._latency = clock, latency_seconds
        self.pods = [_pod(f"web-{n}", f"node-{n % nodes}", n) for n in range(max(3, nodes))]
        self.declared = tuple(Declared(obj, STACK, f"urn:manifest:{n}", TOKEN) for n, obj in enumerate(_objects()))
        self.resources = tuple(_resources(nodes))
        self.actual = State()
        for n in range(nodes):
            name = f"node-{n}"
            self.actual.machines[name] = _machine(name, [p for p in self.pods if p["spec"]["nodeName"] == name])
        self.actual.outputs = {r.urn: copy.deepcopy(r.outputs) for r in self.resources}
        self.actual.live = {declared.key_of(d.reference): _live(d.obj) for d in self.declared}
        self.pristine = copy.deepcopy(self.actual)
        self.corrections: list[Key] = []
        self.wrong_corrections: list[Key] = []
        self.at_once = 0
        self.most_at_once = 0
        self._slots = asyncio.Semaphore(limits.DRIFT_HOSTS_AT_ONCE)

    # Looking

    async def look(self, scope: Scope, *, salt: str) -> Looked:
        found: list[Observation] = []
        if Layer.MACHINE in scope.layers:
            found += refresh.observe(STACK, self.resources, self._events())
        answers = await asyncio.gather(*(self._answer(m) for m in self.actual.machines.values()))
        for machine, text in zip(self.actual.machines.values(), answers, strict=True):
            found += self._of_host(machine, text, scope)
        if Layer.WORKLOAD in scope.layers:
            marked = [obj for obj in self.actual.live.values() if obj and OWNER in obj["metadata"]["annotations"]]
            live = {d.reference: self.actual.live.get(declared.key_of(d.reference)) for d in self.declared}
            found += declared.observe(self.declared, live, marked, salt=salt)
        return Looked(tuple(found), (), (STACK,))

    async def _answer(self, machine: Machine) -> str:
        async with self._slots:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await self._clock.sleep(self._latency)
            self.at_once -= 1
        lines = [f"clock={self._clock.now().timestamp()}"]
        lines += [f"{kind}={text}" for (kind, _), text in machine.lines.items()]
        lines.append(f"containers={json.dumps(list(machine.containers.values()))}")
        return "\n".join([*lines, "end=1"]) + "\n"

    def _of_host(self, machine: Machine, text: str, scope: Scope) -> list[Observation]:
        now = self._clock.now().timestamp()
        # A round trip ago at most: what the machine's clock said then is exact.
        seen, name = probe.parse(text, asked_between=(now - 60.0, now)), machine.wanted.name
        found: list[Observation] = []
        if Layer.NODE in scope.layers:
            place = Place(stack=STACK, node=name)
            found += inspect.observe(machine.wanted, seen, place, now=self._clock.now())
        if Layer.WORKLOAD in scope.layers:
            found += containers.observe(name, self.pods, seen.containers or ())
        return found

    def _events(self) -> list[Event]:
        events: list[Event] = []
        for resource in self.resources:
            now = self.actual.outputs[resource.urn]
            if now is None:
                events.append(ResourceDone(resource.urn, resource.type, Op.DELETE, 0.0))
            elif changes := compare(resource.outputs, now):
                events.append(ResourceDone(resource.urn, resource.type, Op.UPDATE, 0.0, changes))
        return events

    # Setting right

    async def correct(self, decisions: Sequence[Decision], say: Say) -> list[Done]:
        for decision in decisions:
            self.corrections.append(decision.seen.key)
            if not self._put_back(decision.seen):
                self.wrong_corrections.append(decision.seen.key)
        return [Done(decision.seen.id) for decision in decisions]

    async def adopt(self, decisions: Sequence[Decision], say: Say) -> list[Done]:
        return [Done(decision.seen.id) for decision in decisions]

    def _put_back(self, seen: Observation) -> bool:
        """One thing, as it was; False when it was not wrong."""
        key = seen.key
        match key.layer:
            case Layer.MACHINE:
                urn = seen.place.urn
                return _restore(self.actual.outputs, self.pristine.outputs, urn)
            case Layer.NODE:
                return self._put_back_on_node(seen)
            case Layer.WORKLOAD if key.kind == containers.KIND:
                return self._put_back_container(seen)
            case Layer.WORKLOAD:
                return _restore(self.actual.live, self.pristine.live, key)

    def _put_back_on_node(self, seen: Observation) -> bool:
        actual, pristine = (s.machines[seen.key.scope].lines for s in (self.actual, self.pristine))
        kind = {"Roles": "", "Clock": "clock"}.get(seen.key.kind, seen.key.kind.lower())
        about = seen.key.name.removeprefix("table ip ")
        kinds = {"firewall": ("table",), "file": ("file", "override"), "bundle": ("bundle", "changed")}
        done = False
        for prefix in kinds.get(kind, (kind,)):
            for line in [
                at for at in {*actual, *pristine} if at[0] == prefix and (at[1] == about or prefix == "changed")
            ]:
                done = _restore(actual, pristine, line) or done
        return done

    def _put_back_container(self, seen: Observation) -> bool:
        """Taken away, and made anew by the agent where a pod asks for it."""
        actual, pristine = (s.machines[seen.key.scope].containers for s in (self.actual, self.pristine))
        ids = containers.ids_of(seen, tuple(actual.values()) or tuple(pristine.values()))
        ids += containers.ids_of(seen, tuple(pristine.values()))
        return any([_restore(actual, pristine, id_) for id_ in dict.fromkeys(ids)])  # noqa: C419 - every one of them

    def run_agents(self) -> None:
        """What agents and controllers do by themselves: start what ended or went away, put back kernel settings."""
        for name, machine in self.actual.machines.items():
            pristine = self.pristine.machines[name]
            for id_, container in pristine.containers.items():
                have = machine.containers.get(id_)
                if have is None or have["State"]["Status"] in ("exited", "dead", "created"):
                    machine.containers[id_] = copy.deepcopy(container)
            for at in pristine.lines:
                if at[0] in ("table", "link", "sysctl"):
                    _restore(machine.lines, pristine.lines, at)


def _restore(actual: dict[Any, Any], pristine: dict[Any, Any], at: Any) -> bool:
    if actual.get(at) == pristine.get(at):
        return False
    if at in pristine:
        actual[at] = copy.deepcopy(pristine[at])
    else:
        del actual[at]
    return True


def _machine(name: str, pods: Sequence[Object]) -> Machine:
    config = NodeConfig(name, "https://10.0.0.1:6443", "CA", "token", "owner", labels={"zone": "a"})
    plan = plan_node(_FACTS, config, host="10.0.0.1")
    assert isinstance(plan, Plan)
    wanted = wanted_of(plan, name=name, bundle=BUNDLE, bundle_files=BUNDLE_FILES)
    lines: dict[tuple[str, str], str] = {}
    for path, file in wanted.files.items():
        lines["file", path] = f"{file.mode} {file.owner} {file.sha256 or 'f' * 64} 1 {path}"
    for path, mode in wanted.sockets.items():
        lines["socket", path] = f"{mode} root:docker {path}"
    for unit in wanted.services:
        lines["service", unit] = f"{unit} active running enabled no"
    for program in wanted.programs:
        lines["program", program] = f"{program} /usr/sbin/{program}"
    for key, value in wanted.sysctls.items():
        lines["sysctl", key] = f"{key} {value}"
    lines["table", wanted.table] = f"{wanted.table} 12"
    lines["link", wanted.link] = f"{wanted.link} 0x1003"
    for path in wanted.certificates:
        lines["certificate", path] = f"{path} 4102444800"
    lines["bundle", BUNDLE] = f"{BUNDLE} {BUNDLE_FILES} complete"
    made = [container for pod in pods for container in _containers(name, pod)]
    return Machine(wanted, lines, {container["Id"]: container for container in made})


def _containers(node: str, pod: Object) -> list[dict[str, Any]]:
    sandbox_id = f"{pod['metadata']['uid']}-sandbox".ljust(64, "0")
    body = docker_wire.sandbox_body(sandbox_spec(pod, 0), node)
    made = [_inspected(sandbox_id, body, {"none": {"NetworkID": "n"}})]
    for container in pod["spec"]["containers"]:
        spec = container_spec(pod, container, StartContainer(container["name"], 0, 0, sandbox_id), _INPUTS)
        body = docker_wire.container_body(spec, node)
        body["Env"] = [f"{e['name']}={e['value']}" for e in container.get("env", ())] + ["PATH=/usr/bin"]
        made.append(_inspected(f"{pod['metadata']['uid']}-{container['name']}".ljust(64, "0"), body, {}))
    return made


_INPUTS = Inputs({}, (), ImageState("", ()))


def _inspected(id_: str, body: dict[str, Any], networks: dict[str, Any]) -> dict[str, Any]:
    """As the engine would tell of a container that was made with this body."""
    config = {name: value for name, value in body.items() if name != "HostConfig"}
    owner = docker_wire.owner_of(config["Labels"])
    return {
        "Id": id_,
        "Name": f"/{docker_wire.container_name(owner)}",
        "State": {"Status": "running", "Running": True, "ExitCode": 0},
        "Config": config,
        "HostConfig": copy.deepcopy(body["HostConfig"]),
        "NetworkSettings": {"Networks": networks},
    }


def _pod(name: str, node: str, number: int) -> Object:
    container = {
        "name": "app",
        "image": "shop:1.4",
        "command": ["/shop"],
        "args": ["--port", "8080"],
        "env": [{"name": "MODE", "value": "live"}, {"name": "API_TOKEN", "value": "hunter2"}],
        "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True},
    }
    sidecar = {"name": "logs", "image": "logs:2", "env": [{"name": "LEVEL", "value": "info"}]}
    metadata = {"name": name, "namespace": "shop", "uid": f"uid{number:04d}", "labels": {"app": "web"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [container, sidecar], "restartPolicy": "Always"},
        "status": {"phase": "Running", "conditions": [{"type": "Initialized", "status": "True"}]},
    }


def _objects() -> list[Object]:
    """What a Manifest declares, of several kinds."""

    def obj(api: str, kind: str, name: str, **rest: Any) -> Object:
        labels = {"app": name, "tier": "shop"}
        return {
            "apiVersion": api,
            "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "labels": labels},
            **rest,
        }

    containers_ = [
        {
            "name": "app",
            "image": "shop:1.4",
            "env": [{"name": "MODE", "value": "live"}, {"name": "DB_PASSWORD", "value": "s3cret"}],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"limits": {"cpu": "0.5", "memory": "128Mi"}},
        },
        {"name": "logs", "image": "logs:2"},
    ]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers_}}
    found = []
    for name in ("web", "api", "worker"):
        spec = {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": copy.deepcopy(template)}
        found.append(obj("apps/v1", "Deployment", name, spec=spec))
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        found.append(obj("v1", "Service", name, spec={"selector": {"app": name}, "ports": ports, "type": "ClusterIP"}))
        found.append(obj("v1", "ConfigMap", f"{name}-config", data={"mode": "live", "colour": "blue"}))
    found.append(obj("v1", "Secret", "keys", data={"token": "aHVudGVyMg==", "salt": "c2FsdA=="}))
    return found


def _live(obj: Object) -> Object:
    """As the server keeps it: with its own fields, and what defaults add."""
    live = copy.deepcopy(obj)
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "annotations": {OWNER: TOKEN}}
    if live["kind"] == "Deployment":
        live["spec"] |= {"revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
        live["spec"]["template"]["spec"] |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}
    if live["kind"] == "Service":
        live["spec"] |= {"clusterIP": "10.96.0.7", "sessionAffinity": "None"}
    live["status"] = {"observedGeneration": 1}
    return live


def _resources(nodes: int) -> list[Resource]:
    """Networks, machines and nodes, with inputs that are also read back and outputs that are only computed."""

    def one(type_: str, name: str, inputs: dict[str, Any], computed: dict[str, Any]) -> Resource:
        urn = f"urn:pulumi:{STACK}::{PROJECT}::{type_}::{name}"
        return Resource(urn, type_, custom=True, id=name, inputs=inputs, outputs={**inputs, **computed})

    found = [one("docker:index/network:Network", "fleet", {"name": "fleet", "internal": False}, {"scope": "local"})]
    for n in range(nodes):
        machine = {
            "image": "node:1", "hostname": f"node-{n}", "memory": 2048, "cpuShares": 512, "restart": "unless-stopped",
            "labels": [{"label": "owner", "value": "fleet"}], "envs": ["A=1"], "privileged": False,
        }  # fmt: skip
        found.append(
            one("docker:index/container:Container", f"node-{n}", machine, {"mustRun": True, "ipAddress": "10"})
        )
        node = {"nodeName": f"node-{n}", "server": "https://10.0.0.1:6443", "labels": {"zone": "a"}}
        health = {"reachable": True, "serviceActive": True, "ready": True, "version": "v1"}
        found.append(one("iacorch:index:Node", f"node-{n}", node, health))
    return found


def key_of_object(obj: Object) -> Key:
    return declared.key_of(reference(obj))
