"""What lives in a provider's process: components that it constructs, and methods of resources.

In: requests of the program (from `monitor.py`). Out: answers for it. The provider calls the engine back and registers
what the component is made of as a program does, so nothing is decided here; output values pass through with their
dependencies, and come back lowered. A provider that has no configuration yet (a preview) is asked nothing: the
component is registered empty, and a method's answer is not known.
Source: `proto/pulumi/provider.proto`, Construct and Call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from iacorch.infra.engine.builtin.plugins.providers import Serving
from iacorch.infra.engine.builtin.values import urn, wire
from iacorch.infra.engine.errors import ResourceFailed
from iacorch.infra.protocol import provider_pb2, resource_pb2

#: Options that a registration and a construction know by the same names.
_SAME: tuple[str, ...] = (
    "parent", "dependencies", "ignoreChanges", "replaceOnChanges", "aliases", "additionalSecretOutputs", "deletedWith",
    "providers",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a provider must know to register resources: where, and under which configuration."""

    project: str
    stack: str
    config: Mapping[str, str]
    secret_keys: frozenset[str]
    preview: bool
    parallel: int
    monitor: str
    """The address of the engine."""

    def fields(self) -> dict[str, Any]:
        return {
            "organization": "organization",
            "project": self.project,
            "stack": self.stack,
            "config": dict(self.config),
            "configSecretKeys": sorted(self.secret_keys),
            "dryRun": self.preview,
            "parallel": self.parallel,
            "monitorEndpoint": self.monitor,
            "accepts_output_values": True,
        }


Register = Callable[[Any], Awaitable[Any]]


async def construct(request: Any, inputs: wire.Props, plugin: Serving, around: Surroundings, register: Register) -> Any:
    """The RegisterResourceResponse for a component that `plugin` brings; `inputs` are the request's, not lowered."""
    if not plugin.configured:
        bare = resource_pb2.RegisterResourceRequest(type=request.type, name=request.name, parent=request.parent)
        return await register(bare)
    wanted = provider_pb2.ConstructRequest(type=request.type, name=request.name, **around.fields())
    _copy_options(request, wanted)
    for key, deps in request.propertyDependencies.items():
        wanted.inputDependencies[key].urns.extend(deps.urns)
    answer = await plugin.construct(wanted, inputs)
    outputs, dependencies = _lowered(answer.state, answer.stateDependencies, answer.urn, preview=around.preview)
    response = resource_pb2.RegisterResourceResponse(urn=answer.urn, object=wire.encode(outputs))
    for key, urns in dependencies.items():
        response.propertyDependencies[key].urns.extend(urns)
    return response


def _copy_options(request: Any, wanted: Any) -> None:
    for name in _SAME:
        value = getattr(request, name)
        if isinstance(value, str):
            setattr(wanted, name, value)
        else:
            getattr(wanted, name).MergeFrom(value)
    for name in ("protect", "retainOnDelete"):
        if request.HasField(name):
            setattr(wanted, name, getattr(request, name))
    if request.deleteBeforeReplaceDefined:
        wanted.deleteBeforeReplace = request.deleteBeforeReplace
    if request.HasField("customTimeouts"):
        times = request.customTimeouts
        wanted.customTimeouts.create, wanted.customTimeouts.update = times.create, times.update
        wanted.customTimeouts.delete, wanted.customTimeouts.read = times.delete, times.read


def self_of(request: Any) -> str:
    """The URN of the resource whose method is called, or nothing: functions of packages have no resource."""
    own = request.args.fields.get("__self__")
    if own is None:
        return ""
    if "urn" not in own.struct_value.fields:
        raise ResourceFailed("a method was called on something that is no resource", urn=request.tok)
    return str(own.struct_value.fields["urn"].string_value)


def provider_of_method(request: Any) -> str:
    """The reference of the provider resource whose own method is called (`pulumi:providers:PKG/METHOD`), or nothing."""
    if not urn.is_provider(request.tok):
        return ""
    own = request.args.fields["__self__"].struct_value.fields
    return urn.reference(own["urn"].string_value, own["id"].string_value)


async def call(request: Any, plugin: Serving, around: Surroundings) -> Any:
    """The CallResponse of a method."""
    if not plugin.configured:
        return provider_pb2.CallResponse()
    wanted = provider_pb2.CallRequest(tok=request.tok, **around.fields())
    for key, deps in request.argDependencies.items():
        wanted.argDependencies[key].urns.extend(deps.urns)
    answer = await plugin.call(wanted, wire.decode(request.args))
    found, dependencies = _lowered(
        getattr(answer, "return"), answer.returnDependencies, request.tok, preview=around.preview
    )
    response = provider_pb2.CallResponse(failures=answer.failures)
    getattr(response, "return").CopyFrom(wire.encode(found))
    for key, urns in dependencies.items():
        response.returnDependencies[key].urns.extend(urns)
    return response


def _lowered(
    struct: Any, told: Mapping[str, Any], where: str, *, preview: bool
) -> tuple[wire.Props, dict[str, list[str]]]:
    """Properties without output values, and the dependencies that were said of them in either way."""
    plain: wire.Props = {}
    dependencies: dict[str, list[str]] = {}
    for key, value in wire.decode(struct).items():
        needs = set(told[key].urns) if key in told else set()
        plain[key] = wire.lower(value, needs, where=where)
        dependencies[key] = sorted(needs - {""})
    if not preview:
        plain = {key: value for key, value in plain.items() if not wire.has_unknown(value)}
    return plain, dependencies


__all__ = ["Surroundings", "call", "construct", "provider_of_method", "self_of"]
