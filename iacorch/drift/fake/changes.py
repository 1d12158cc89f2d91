"""Ways to change a fake fleet by hand, each with what must be found. Seeded by nothing: the list is the same each time.

In: a `World`. Out: `Change`s; `apply` carries one out and `expected` says which resource must be found with which
verdict. Different changes concern different fields or resources. Who takes some of them at random brings the random
numbers along. Used by tests and by the benchmark.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from iacorch.api.objects import Object
from iacorch.drift.fake.world import BUNDLE, STACK, TOKEN, Machine, World
from iacorch.drift.machine import refresh
from iacorch.drift.model import Key, Layer, Verdict
from iacorch.drift.workload import containers
from iacorch.drift.workload.declared import key_of
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.provider.resources.manifest_plan import OWNER, reference


@dataclass(frozen=True, slots=True)
class Change:
    """`what` is for people and names the change; `settles`: an agent sets it right without us."""

    what: str
    key: Key
    verdict: Verdict
    apply: Callable[[], None]
    settles: bool = False


def every_change(world: World) -> list[Change]:
    """Of all three layers."""
    found: list[Change] = []
    for resource in world.resources:
        found += _of_resource(world, resource)
    for name, machine in world.actual.machines.items():
        found += _of_node(name, machine)
        found += _of_containers(world, name, machine)
    for entry in world.declared:
        found += _of_object(world, entry.obj)
    return found


def _of_resource(world: World, resource: Resource) -> Iterator[Change]:
    key, outputs = refresh.key_of(STACK, resource), world.actual.outputs

    def gone() -> None:
        outputs[resource.urn] = None

    yield Change(f"{key}: deleted", key, Verdict.MISSING, gone)
    for name, value in resource.outputs.items():
        if name not in resource.inputs and name not in refresh.HEALTH:
            continue

        def changed(name: str = name, value: Any = value) -> None:
            now = outputs[resource.urn]
            assert now is not None
            now[name] = _other(value)

        yield Change(f"{key}: {name} changed", key, Verdict.DRIFTED, changed)


def _of_node(name: str, machine: Machine) -> Iterator[Change]:
    lines, wanted = machine.lines, machine.wanted

    def key(kind: str, about: str) -> Key:
        return Key(Layer.NODE, name, kind, about)

    def put(at: tuple[str, str], text: str | None) -> Callable[[], None]:
        def apply() -> None:
            if text is None:
                lines.pop(at, None)
            else:
                lines[at] = text

        return apply

    for path, file in wanted.files.items():
        at, sha = ("file", path), file.sha256 or "f" * 64
        yield Change(f"{name}: {path} deleted", key("File", path), Verdict.MISSING, put(at, None))
        texts = {
            "mode": f"666 {file.owner} {sha} 1 {path}",
            "owner": f"{file.mode} nobody:nogroup {sha} 1 {path}",
        }
        if file.sha256:
            texts["content"] = f"{file.mode} {file.owner} {'e' * 64} 9 {path}"
        for field, text in texts.items():
            yield Change(f"{name}: {path} {field} changed", key("File", path), Verdict.DRIFTED, put(at, text))
    for path in wanted.sockets:
        opened = put(("socket", path), f"666 root:docker {path}")
        yield Change(f"{name}: {path} for everybody", key("Socket", path), Verdict.DRIFTED, opened)
    over = put(("mount", "/etc/iacorch"), "/etc/iacorch")
    yield Change(f"{name}: /etc/iacorch mounted over", key("Mount", "/etc/iacorch"), Verdict.UNEXPECTED, over)
    for unit in wanted.services:
        at = ("service", unit)
        for words, text in {
            "stopped": f"{unit} inactive dead enabled no",
            "failed": f"{unit} failed failed enabled no",
            "frozen": f"{unit} active running enabled no frozen",
            "disabled": f"{unit} active running disabled no",
            "masked": f"{unit} active running masked no",
            "its unit not reloaded": f"{unit} active running enabled yes",
        }.items():
            yield Change(f"{name}: {unit} {words}", key("Service", unit), Verdict.DRIFTED, put(at, text))
        drop_in = f"/etc/systemd/system/{unit}.d/override.conf"
        add = put(("override", drop_in), f"{unit} {drop_in}")
        yield Change(f"{name}: {unit} overridden", key("File", drop_in), Verdict.UNEXPECTED, add)
    for program in wanted.programs:
        remove = put(("program", program), None)
        yield Change(f"{name}: {program} removed", key("Program", program), Verdict.MISSING, remove)
    for setting in wanted.sysctls:
        off = put(("sysctl", setting), f"{setting} 0")
        yield Change(f"{name}: {setting} off", key("Sysctl", setting), Verdict.DRIFTED, off, settles=True)
    table = ("table", wanted.table)
    firewall = key("Firewall", f"table ip {wanted.table}")
    yield Change(f"{name}: firewall flushed", firewall, Verdict.MISSING, put(table, f"{wanted.table} 0"), settles=True)
    link = key("Link", wanted.link)
    yield Change(f"{name}: link deleted", link, Verdict.MISSING, put(("link", wanted.link), None), settles=True)
    down = put(("link", wanted.link), f"{wanted.link} 0x1002")
    yield Change(f"{name}: link down", link, Verdict.DRIFTED, down, settles=True)
    for path in wanted.certificates:
        at, certificate = ("certificate", path), key("Certificate", path)
        yield Change(f"{name}: {path} deleted", certificate, Verdict.MISSING, put(at, None))
        yield Change(f"{name}: {path} expired", certificate, Verdict.DRIFTED, put(at, f"{path} 1"))
        yield Change(f"{name}: {path} overwritten", certificate, Verdict.DRIFTED, put(at, path))
    bundle = key("Bundle", BUNDLE)
    edited = f"/opt/iacorch/{BUNDLE}/lib/iacorch/agent/lifecycle/machine.py"
    yield Change(f"{name}: bundle edited", bundle, Verdict.DRIFTED, put(("changed", edited), edited))
    yield Change(f"{name}: bundle removed", bundle, Verdict.MISSING, put(("bundle", BUNDLE), None))
    fewer = put(("bundle", BUNDLE), f"{BUNDLE} {wanted.bundle_files - 3} complete")
    yield Change(f"{name}: bundle files removed", bundle, Verdict.DRIFTED, fewer)


def _of_containers(world: World, node: str, machine: Machine) -> Iterator[Change]:
    for pod in world.pods:
        if pod["spec"]["nodeName"] != node:
            continue
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        for part in ("sandbox", "app", "logs"):
            id_ = f"{uid}-{part}".ljust(64, "0")
            key = Key(Layer.WORKLOAD, node, containers.KIND, f"{metadata['namespace']}/{metadata['name']}/{part}")
            yield from _of_container(machine, id_, key, part)
        yield _stray(machine, node, pod)


def _of_container(machine: Machine, id_: str, key: Key, part: str) -> Iterator[Change]:
    def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        return lambda: change(machine.containers[id_])

    def set_host(field: str, value: Any) -> Callable[[], None]:
        return edit(lambda c: c["HostConfig"].update({field: value}))

    def status(text: str) -> Callable[[], None]:
        return edit(lambda c: c["State"].update({"Status": text}))

    def forget() -> None:
        machine.containers.pop(id_, None)

    yield Change(f"{key}: removed", key, Verdict.MISSING, forget, settles=True)
    yield Change(f"{key}: stopped", key, Verdict.DRIFTED, status("exited"), settles=True)
    yield Change(f"{key}: paused", key, Verdict.DRIFTED, status("paused"))
    attach = edit(lambda c: c["NetworkSettings"]["Networks"].update({"bridge": {"NetworkID": "b"}}))
    yield Change(f"{key}: attached to another network", key, Verdict.DRIFTED, attach)
    yield Change(f"{key}: privileged", key, Verdict.DRIFTED, set_host("Privileged", True))
    yield Change(f"{key}: in the host's network", key, Verdict.DRIFTED, set_host("NetworkMode", "host"))
    relabel = edit(lambda c: c["Config"]["Labels"].update({"iacorch.dev/node": "elsewhere"}))
    yield Change(f"{key}: label changed", key, Verdict.DRIFTED, relabel)
    if part == "sandbox":
        return
    yield Change(f"{key}: memory limit", key, Verdict.DRIFTED, set_host("Memory", 64 * 2**20))
    yield Change(f"{key}: cores", key, Verdict.DRIFTED, set_host("CpusetCpus", "0"))
    yield Change(f"{key}: restarts", key, Verdict.DRIFTED, set_host("RestartPolicy", {"Name": "always"}))
    yield Change(f"{key}: CPU shares", key, Verdict.DRIFTED, set_host("CpuShares", 9))
    yield Change(f"{key}: capability added", key, Verdict.DRIFTED, set_host("CapAdd", ["CAP_NET_ADMIN"]))
    image = edit(lambda c: c["Config"].update({"Image": "evil:latest"}))
    yield Change(f"{key}: image changed", key, Verdict.DRIFTED, image)
    env = edit(lambda c: c["Config"].update({"Env": ["MODE=test", "API_TOKEN=hunter3", "LEVEL=debug"]}))
    yield Change(f"{key}: environment changed", key, Verdict.DRIFTED, env)
    if part == "app":
        user = edit(lambda c: c["Config"].update({"User": "0"}))
        yield Change(f"{key}: runs as root", key, Verdict.DRIFTED, user)
        yield Change(f"{key}: root writable", key, Verdict.DRIFTED, set_host("ReadonlyRootfs", False))
        args = edit(lambda c: c["Config"].update({"Cmd": ["--port", "9090"]}))
        yield Change(f"{key}: arguments changed", key, Verdict.DRIFTED, args)


def _stray(machine: Machine, node: str, pod: Object) -> Change:
    """Somebody copied a container, labels included."""
    id_ = f"{pod['metadata']['uid']}-app".ljust(64, "0")
    name = f"copy-of-{pod['metadata']['name']}"
    twin = copy.deepcopy(machine.containers[id_]) | {"Id": name.ljust(64, "0"), "Name": f"/{name}"}

    def add() -> None:
        machine.containers[name.ljust(64, "0")] = copy.deepcopy(twin)

    key = Key(Layer.WORKLOAD, node, containers.KIND, name)
    return Change(f"{key}: an extra one", key, Verdict.UNEXPECTED, add)


def _of_object(world: World, obj: Object) -> Iterator[Change]:
    key, live = key_of(reference(obj)), world.actual.live

    def edit(change: Callable[[Object], None]) -> Callable[[], None]:
        def apply() -> None:
            now = live[key]
            assert now is not None
            change(now)

        return apply

    def gone() -> None:
        live[key] = None

    yield Change(f"{key}: deleted", key, Verdict.MISSING, gone)
    relabel = edit(lambda o: o["metadata"]["labels"].update({"tier": "other"}))
    yield Change(f"{key}: label changed", key, Verdict.DRIFTED, relabel)
    for what, change in _EDITS[obj["kind"]].items():
        yield Change(f"{key}: {what}", key, Verdict.DRIFTED, edit(change))
    yield _extra_object(world, obj)


def _template(obj: Object) -> dict[str, Any]:
    found: dict[str, Any] = obj["spec"]["template"]["spec"]
    return found


_EDITS: dict[str, dict[str, Callable[[Object], Any]]] = {
    "Deployment": {
        "scaled": lambda o: o["spec"].update(replicas=1),
        "image changed": lambda o: _template(o)["containers"][0].update(image="shop:0.1"),
        "environment changed": lambda o: _template(o)["containers"][0]["env"][0].update(value="test"),
        "a secret value changed": lambda o: _template(o)["containers"][0]["env"][1].update(value="other"),
        "variable removed": lambda o: _template(o)["containers"][0]["env"].pop(0),
        "limit raised": lambda o: _template(o)["containers"][0]["resources"]["limits"].update(memory="1Gi"),
        "limits removed": lambda o: _template(o)["containers"][0].pop("resources"),
        "container added": lambda o: _template(o)["containers"].append({"name": "miner", "image": "miner"}),
        "container removed": lambda o: _template(o)["containers"].pop(1),
        "port changed": lambda o: _template(o)["containers"][0]["ports"][0].update(containerPort=9090),
    },
    "Service": {
        "selector changed": lambda o: o["spec"]["selector"].update(app="nothing"),
        "selector widened": lambda o: o["spec"]["selector"].update(version="2"),
        "port changed": lambda o: o["spec"]["ports"][0].update(port=81),
        "port added": lambda o: o["spec"]["ports"].append({"name": "debug", "port": 99, "targetPort": 99}),
        "type changed": lambda o: o["spec"].update(type="NodePort"),
    },
    "ConfigMap": {
        "value changed": lambda o: o["data"].update(mode="test"),
        "key added": lambda o: o["data"].update(extra="1"),
        "key removed": lambda o: o["data"].pop("colour"),
    },
    "Secret": {
        "value changed": lambda o: o["data"].update(token="b3RoZXI="),
        "key added": lambda o: o["data"].update(extra="MQ=="),
        "key removed": lambda o: o["data"].pop("salt"),
    },
}


def _extra_object(world: World, obj: Object) -> Change:
    """A copy under another name that still says a Manifest made it."""
    metadata = {**obj["metadata"], "name": f"{obj['metadata']['name']}-copy", "annotations": {OWNER: TOKEN}}
    twin = {**copy.deepcopy(obj), "metadata": metadata}
    key = Key(Layer.WORKLOAD, metadata["namespace"], obj["kind"], metadata["name"])

    def add() -> None:
        world.actual.live[key] = twin

    return Change(f"{key}: an extra one", key, Verdict.UNEXPECTED, add)


def _other(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value * 2 + 1
        case str():
            return f"{value}-changed"
        case list():
            return [*value, "changed" if not value or isinstance(value[0], str) else {"label": "by", "value": "hand"}]
        case _:
            return {**value, "changed": "by hand"}
